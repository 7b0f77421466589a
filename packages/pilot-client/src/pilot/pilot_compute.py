"""The handle of a pilot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, final

from pilot_protocol.errors import StateError
from pilot_protocol.states import State, is_final
from pilot_session.argument_checks import seconds, state_named
from pilot_session.getters import Getters

from .compute_unit import ComputeUnit
from .following import follow_pilots
from .open_sessions import find
from .owned_units import OwnedUnits
from .pilot_details import read_pilot_details
from .pilot_ending import cancel_pilots
from .placeholders import watch_pending
from .session import Session
from .tracker import TrackedPilot
from .waiting import follow_before_waiting


@final
class PilotCompute(Getters):
    """A placeholder job that holds cores, and runs compute units on them.

    Args:
        pilot_url: Reconnects to a pilot by its `url`, from any process of the same user on a machine that has the
            session's file.

    Raises:
        CoordinationError: The session is not known here, or its server cannot be reached.
        DescriptionError: It is no URL of a pilot.
        StateError: There is no such pilot any more.
    """

    def __init__(self, pilot_url: str) -> None:
        session, name = find(pilot_url, "pilot")
        follow_pilots(session, only=[name])
        tracked = session.tracker.pilots.get(name)
        if tracked is None:
            raise StateError(f"session {session.id} has no pilot {name}; it was purged, or never created")
        self._take(session, tracked)

    @classmethod
    def of(cls, session: Session, pilot: TrackedPilot) -> PilotCompute:
        """Return the handle of a pilot that is followed already."""
        handle = cls.__new__(cls)
        handle._take(session, pilot)  # noqa: SLF001 - of this very class
        return handle

    def _take(self, session: Session, pilot: TrackedPilot) -> None:
        self._session = session
        self._pilot = pilot
        self._units = OwnedUnits(session, pilot.id, lambda: [pilot])

    @property
    def id(self) -> str:
        """The pilot's id."""
        return self._pilot.id

    @property
    def url(self) -> str:
        """Where to find the pilot again; holds no password."""
        return self._session.url_of("pilot", self.id)

    @property
    def state(self) -> State:
        """The state; reads memory only, which follows Redis by itself."""
        return self._pilot.state

    @property
    def details(self) -> dict[str, Any]:
        """Everything about the pilot, read from Redis.

        ``state``, ``service_url``, ``nodes``, ``cores``, ``gpus``, ``free_cores``, ``walltime_left_s``,
        ``agent_version``, ``job`` (what the resource calls it), ``resource_says`` (why the job waits, in the words of
        its batch system), ``reason`` and ``message`` (why it ended, with the end of the agent's log when it failed),
        ``timestamps``. None where there is nothing to say yet.

        Raises:
            CoordinationError: The server cannot be reached.
        """
        return read_pilot_details(self._session, self._pilot)

    def submit_compute_unit(self, compute_unit_description: Mapping[str, object]) -> ComputeUnit:
        """Submit a unit that only this pilot may run, also before the pilot is running.

        Args:
            compute_unit_description: A dict or a ComputeUnitDescription.

        Raises:
            CoordinationError: The server cannot be reached.
            DescriptionError: A key or a value is not allowed, or the unit is larger than the pilot.
            StateError: The pilot has ended.
        """
        return self.submit_compute_units([compute_unit_description])[0]

    def submit_compute_units(self, descriptions: Iterable[Mapping[str, object]]) -> list[ComputeUnit]:
        """Submit many units that only this pilot may run, see `ComputeDataService.submit_compute_units`."""
        if not self._pilot.is_live:
            raise StateError(
                f"pilot {self.id} is {self.state}: it takes no more compute units; submit to another pilot"
            )
        return self._units.submit(descriptions)

    def list_compute_units(self) -> list[ComputeUnit]:
        """Return the units that were submitted to this pilot, by this process or another one."""
        return self._units.every()

    def wait(self, timeout: float | None = None, state: State | str | None = None) -> State:
        """Wait until every unit submitted to this pilot has ended, or the pilot has; or for a state.

        Args:
            timeout: Seconds; without end by default.
            state: Wait for this state of the pilot, or a final one, instead.

        Returns:
            The pilot's state.

        Raises:
            CoordinationError: Redis refuses this session for good.
            DescriptionError: There is no such state, or the timeout is no number.
        """
        limit_s = seconds(timeout)
        watch_pending(self._session, [self._pilot])
        if state is None:
            follow_before_waiting(self._session, self.id, limit_s)
            self._session.wait_for(lambda: not self._count_open() or not self._pilot.is_live, limit_s)
        else:
            wanted = state_named(state)
            self._session.wait_for(lambda: self.state is wanted or is_final(self.state), limit_s)
        return self.state

    def cancel(self) -> None:
        """End the pilot and what it runs; returns when it has ended.

        Raises:
            CoordinationError: The server cannot be reached.
        """
        cancel_pilots(self._session, [self._pilot])

    def get_free_nodes(self) -> int:
        """Return how many cores are free; 0 unless the pilot is running."""
        details = self.details
        if self.state is not State.Running:
            return 0
        free = details["free_cores"]
        return int(details["cores"] or 0) if free is None else int(free)

    def __repr__(self) -> str:
        return f"<PilotCompute {self.id} {self.state}>"

    def __eq__(self, other: object) -> bool:
        return self._pilot is other._pilot if isinstance(other, PilotCompute) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def _count_open(self) -> int:
        return sum(group.open for group in self._session.tracker.groups_of(self.id))
