"""The service that brings compute units, data units and pilots together, each where there is room first."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, final

from pilot_protocol.errors import DescriptionError, StateError
from pilot_protocol.states import State
from pilot_session.argument_checks import seconds
from pilot_session.coordination_url import is_id, parse_object_url
from pilot_session.getters import Getters
from pilot_session.identifiers import new_id

from .completion import Completion, Counts, Show, wait_for_owner
from .compute_unit import ComputeUnit
from .data_side import DataSide
from .following import follow_pilots, follow_unit, follow_units
from .open_sessions import choose, default, find, join, newest_default
from .owned_units import OwnedUnits
from .pilot_compute import PilotCompute
from .pilot_compute_service import PilotComputeService
from .progress import ProgressLine
from .session import Session
from .tracker import NO_UNITS


@final
class ComputeDataService(DataSide, Getters):
    """Takes compute units and data units; pilots and Pilot-Data of the services that were added run and keep them.

    A context manager that cancels.

    Args:
        coordination_url: The Redis server; by default the session of the first service that is added. The `url` of a
            ComputeDataService reconnects to it.
        session: A session, or its id.
        cds_url: Reconnects to a service by its `url`.

    Raises:
        CoordinationError: The server cannot be reached or refuses.
        DescriptionError: A URL cannot be read.

    Attributes:
        id: The service's id.
    """

    def __init__(
        self,
        coordination_url: str | None = None,
        *,
        session: Session | str | None = None,
        cds_url: str | None = None,
    ) -> None:
        if (
            isinstance(coordination_url, str) and "cds=" in coordination_url
        ):  # the place of BigJob's only argument
            coordination_url, cds_url = None, coordination_url
        super().__init__()
        self._id = new_id("cds")
        self._units: OwnedUnits | None = None
        self._is_canceled = False
        if cds_url is not None:
            self._reconnect(cds_url)
        elif coordination_url is not None or session is not None:
            self._join(choose(coordination_url, session))

    @property
    def id(self) -> str:
        """Its id, ``cds-…``."""
        return self._id

    @property
    def url(self) -> str:
        """Where to find the service again; holds no password."""
        return self._session.url_of("cds", self.id)

    @property
    def state(self) -> State:
        """Running until `cancel`, then Done."""
        return State.Done if self._is_canceled else State.Running

    @property
    def counts(self) -> Counts:
        """The number of this service's units in each state, from memory."""
        return self._units.session.tracker.counts_of(self.id) if self._units else NO_UNITS

    @property
    def details(self) -> dict[str, Any]:
        """``id``, ``url``, ``state``, ``counts``, and the ids of the services and the ``pilots`` that are used."""
        session = self._session
        tracker = session.tracker
        attached = tracker.attachments.get(self.id, set())
        return {
            "id": self.id,
            "url": self.url,
            "state": self.state,
            "counts": dict(self.counts),
            "pilot_compute_services": sorted(name for name in attached if is_id("pcs", name)),
            "pilot_data_services": self._data_services(session),
            "pilots": [pilot.id for pilot in tracker.pilots_for(self.id)],
        }

    def add_pilot_compute_service(self, pilot_compute_service: PilotComputeService) -> None:
        """Let the pilots of a service run this service's units, also those that are created later.

        Raises:
            CoordinationError: The server cannot be reached.
            DescriptionError: It is none, or it lives in another session.
        """
        theirs = _checked(pilot_compute_service)
        session = self._session_of(theirs.id, theirs.url)
        session.store.attach(theirs.id, self.id, attached=True)

    def remove_pilot_compute_service(self, pilot_compute_service: PilotComputeService) -> None:
        """Give the pilots of a service no more of this service's units; what they have taken, they run.

        Raises:
            CoordinationError: The server cannot be reached.
            DescriptionError: It is no PilotComputeService.
        """
        self._session.store.attach(_checked(pilot_compute_service).id, self.id, attached=False)

    def submit_compute_unit(self, compute_unit_description: Mapping[str, object]) -> ComputeUnit:
        """Submit a unit, in one trip to Redis, also before there is a pilot.

        Args:
            compute_unit_description: A dict or a ComputeUnitDescription.

        Raises:
            CoordinationError: The server cannot be reached, or is full.
            DescriptionError: A key or a value is not allowed, or the unit is larger than every pilot.
            StateError: The service was canceled.
        """
        return self.submit_compute_units([compute_unit_description])[0]

    def submit_compute_units(self, descriptions: Iterable[Mapping[str, object]]) -> list[ComputeUnit]:
        """Submit many units, in one trip to Redis for each 500.

        Of a list or tuple, nothing is submitted unless every description is good. A generator is read as far as it is
        submitted, so the first units start while the last are still being made; when one of its descriptions is not
        good, those of the batches before are submitted (`list_compute_units` has them).

        Args:
            descriptions: Dicts or ComputeUnitDescriptions.

        Returns:
            The units, in the same order.

        Raises:
            CoordinationError: The server cannot be reached, or is full.
            DescriptionError: A key or a value is not allowed, or a unit is larger than every pilot.
            StateError: The service was canceled.
        """
        self._check_open("compute units")
        return self._own_units().submit(descriptions)

    def list_pilot_compute(self) -> list[PilotCompute]:
        """Return the pilots that run this service's units, ended ones too."""
        session = self._session
        return [PilotCompute.of(session, pilot) for pilot in session.tracker.pilots_for(self.id)]

    def list_compute_units(self) -> list[ComputeUnit]:
        """Return the units of this service, whichever process submitted them."""
        return self._own_units().every()

    def get_compute_unit(self, cu_id: str) -> ComputeUnit:
        """Return a unit of this service by its id.

        Raises:
            StateError: This service has no such unit.
        """
        group, number = follow_unit(self._session, cu_id)
        if group.owner != self.id:
            raise StateError(f"compute unit {cu_id} was not submitted to {self.id} but to {group.owner}")
        return ComputeUnit.of(self._session, group, number)

    def as_completed(
        self, units: Iterable[ComputeUnit] | None = None, timeout: float | None = None
    ) -> Iterator[ComputeUnit]:
        """Yield units as they end, each once, well or not.

        It ends early, with a RuntimeWarning, when every pilot that could run the rest has ended, or all are too small.

        Args:
            units: By default all units of this service.
            timeout: Seconds for all of them; without end by default.

        Raises:
            CoordinationError: Redis refuses this session for good.
            TimeoutError: Some have not ended in time.
        """
        chosen = self.list_compute_units() if units is None else units
        return Completion(self._session, chosen).within(seconds(timeout))

    def wait(self, timeout: float | None = None, *, progress: Show | bool | None = None) -> bool:
        """Wait until all compute units have ended and no data unit is Pending any more.

        Those that other processes have submitted to this service by now are waited for, too. It also returns, with a
        RuntimeWarning, when every pilot that could run the rest has ended, none was created, or all are too small, or when
        nobody adds files to the data units that the rest read.

        Args:
            timeout: Seconds; without end by default.
            progress: Called with `counts` whenever they change; True for a line on standard error.

        Returns:
            Whether that is so.

        Raises:
            CoordinationError: Redis refuses this session for good.
        """
        limit_s = seconds(timeout)
        if self._units is None:
            return True
        deadline = math.inf if limit_s is None else time.monotonic() + limit_s
        show = ProgressLine() if progress is True else progress or None
        if not wait_for_owner(self._session, self.id, limit_s, show):
            return False
        return self._wait_for_data(None if limit_s is None else max(0.0, deadline - time.monotonic()))

    def cancel(self) -> None:
        """Cancel the compute units that have not ended, whoever submitted them, and let go of the services.

        Pilots and Pilot-Data go on, and data units stay.

        Raises:
            CoordinationError: The server cannot be reached.
        """
        self._is_canceled = True
        if self._units is None:
            return
        session = self._session
        for group in follow_units(session, self.id):
            session.store.cancel([group.unit_id(number) for number in group.unsettled()])
        for service in sorted(session.tracker.attachments.get(self.id, ())):
            session.store.attach(service, self.id, attached=False)

    def __enter__(self) -> ComputeDataService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<ComputeDataService {self.id} {self.state}>"

    @property
    def _session(self) -> Session:
        """The session, joined by now: that of the newest service without a session of its own, else the default."""
        return self._own_units().session

    def _session_of(self, service: str, url: str) -> Session:
        theirs = parse_object_url(url)
        if self._units is None:
            self._join(join(theirs.session))
        ours = self._session
        if theirs.session != ours.id:
            raise DescriptionError(
                f"{service} lives in session {theirs.session} at {theirs.coordination.public()}, {self.id} in session "
                f"{ours.id} at {ours.url.public()}; create both with the same coordination URL and session",
                key=f"pilot_{'data' if service.startswith('pds') else 'compute'}_service",
            )
        return ours

    def _check_open(self, what: str) -> None:
        if self._is_canceled:
            raise StateError(f"{self.id} was canceled: it takes no more {what}; create another one")

    def _own_units(self) -> OwnedUnits:
        return self._units or self._join(newest_default() or default())

    def _join(self, session: Session) -> OwnedUnits:
        self._units = OwnedUnits(session, self.id, lambda: session.tracker.pilots_for(self.id))
        return self._units

    def _reconnect(self, url: str) -> None:
        session, self._id = find(url, "cds")
        follow_pilots(session)
        follow_units(session, self.id)
        self._join(session)
        self._serve_again(session)


def _checked(service: object) -> PilotComputeService:
    if isinstance(service, PilotComputeService):
        return service
    raise DescriptionError(
        f"pilot_compute_service is {service!r}; a PilotComputeService is allowed",
        key="pilot_compute_service",
        value=service,
    )
