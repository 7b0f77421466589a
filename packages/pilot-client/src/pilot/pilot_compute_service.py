"""The service that creates pilots."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, final

from pilot_protocol.compute_descriptions import validate_pilot_compute
from pilot_protocol.pilot_ops import PilotEnd
from pilot_protocol.specs import PilotSpec
from pilot_session.argument_checks import seconds
from pilot_session.identifiers import new_id

from .following import follow_pilots
from .open_sessions import choose, find
from .pilot_compute import PilotCompute
from .pilot_ending import cancel_pilots
from .pilot_loss import agent_ended
from .placeholders import watch_pending
from .session import Session
from .submission import AgentEnd, PilotOrder, Placeholder
from .tracker import TrackedPilot


@final
class PilotComputeService:
    """Creates pilots. As a context manager it cancels them in the end.

    Args:
        coordination_url: The Redis server, ``redis://``, ``rediss://`` or ``unix://``; by default
            ``$PILOT_COORDINATION_URL``, else an embedded server that ends with this process.
        session: A session, or its id; by default the one that all services of this process with this URL share.
        pcs_url: Reconnects to a service by its `url`.

    Raises:
        CoordinationError: The server cannot be reached or refuses.
        DescriptionError: A URL cannot be read.
    """

    def __init__(
        self,
        coordination_url: str | None = None,
        *,
        session: Session | str | None = None,
        pcs_url: str | None = None,
    ) -> None:
        if pcs_url is None:
            self.session = choose(coordination_url, session)
            self.id = new_id("pcs")
            self.session.stop_in_the_end(self.cancel)
        else:
            self.session, self.id = find(pcs_url, "pcs")
            follow_pilots(self.session)

    @property
    def url(self) -> str:
        """Where to find the service again; holds no password."""
        return self.session.url_of("pcs", self.id)

    def create_pilot(self, pilot_compute_description: Mapping[str, object]) -> PilotCompute:
        """Create a pilot and return when its resource has taken it; it becomes Running when its agent has started.

        Args:
            pilot_compute_description: A dict or a PilotComputeDescription. With ``site://name`` as ``service_url`` it
                starts from that site's settings.

        Raises:
            CoordinationError: The server cannot be reached.
            DescriptionError: A key or a value is not allowed, or the site is not known.
            SubmissionError: The resource does not take the pilot.
            MissingExtraError: The resource, or `file_transfer`, needs something that is not installed.
            TransferError: A file of `file_transfer` could not be copied.
        """
        from .sites import expand

        payload = validate_pilot_compute(expand(pilot_compute_description))
        spec = PilotSpec.from_payload(payload)
        pilot = new_id("p")
        self.session.listen()
        self.session.store.create_pilot(pilot, self.id, payload)
        tracked = self.session.tracker.set_pilot(TrackedPilot.asked_for(pilot, self.id, spec))
        placeholder = self._submit(PilotOrder(pilot, spec, self._agent_settings()))
        tracked.cores = placeholder.cores or tracked.cores
        return PilotCompute.of(self.session, tracked)

    def _submit(self, order: PilotOrder) -> Placeholder:
        session = self.session
        try:
            submitter = session.ways.submitter_for(order.spec)
            placeholder = submitter.submit(order, self._agent_ended)
        except BaseException as error:  # Ctrl-C as well: nobody will ever run this pilot
            session.store.end_pilot(order.pilot, PilotEnd("Failed", "start", str(error) or repr(error)))
            raise
        session.placeholders[order.pilot] = placeholder
        if placeholder.handle:
            session.store.note_placeholder(order.pilot, placeholder.handle)
        return placeholder

    def list_pilots(self) -> list[PilotCompute]:
        """Return the pilots of this service, ended ones too."""
        return [PilotCompute.of(self.session, pilot) for pilot in self._pilots()]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all pilots have ended, by their walltime or otherwise.

        Args:
            timeout: Seconds; without end by default.

        Returns:
            Whether they have.
        """
        limit_s = seconds(timeout)
        watch_pending(self.session, self._pilots())
        return self.session.wait_for(lambda: not any(pilot.is_live for pilot in self._pilots()), limit_s)

    def cancel(self) -> None:
        """End all pilots of this service and what they run; returns when they have ended.

        Raises:
            CoordinationError: The server cannot be reached.
        """
        cancel_pilots(self.session, self._pilots())

    def get_id(self) -> str:
        """Return ``id``."""
        return self.id

    def get_url(self) -> str:
        """Return `url`."""
        return self.url

    def __enter__(self) -> PilotComputeService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<PilotComputeService {self.id} with {len(self._pilots())} pilots>"

    def _pilots(self) -> list[TrackedPilot]:
        return [pilot for pilot in list(self.session.tracker.pilots.values()) if pilot.service == self.id]

    def _agent_settings(self) -> dict[str, Any]:
        # A server that ended with this process does not come back: its agents need not look for it.
        patience = {"lost_timeout_s": self.session.lease_s} if self.session.ends_with_us else {}
        return {
            **patience,
            "coordination_url": self.session.url.full(),
            "session": self.session.id,
            "key": self.session.key_hex,
            "lease_s": self.session.lease_s,
        }

    def _agent_ended(self, end: AgentEnd) -> None:
        agent_ended(self.session, end)
