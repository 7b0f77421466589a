"""What this process knows of the session: the state of each unit it cares for, and of each pilot. Memory only, no I/O.

Handles of units are made on demand and read the groups that are here. The watcher writes what Redis says, submissions
write what they sent, waiting threads read. All of it under one lock, with one condition that wakes who waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from pilot_protocol.errors import CoordinationError
from pilot_protocol.reads import SessionEvent
from pilot_protocol.states import State, is_final

from .tracked_pilot import TrackedPilot
from .unit_group import UnitGroup

__all__ = ["NO_UNITS", "TrackedPilot", "Tracker", "UnitGroup"]

NO_UNITS: Final[Mapping[State, int]] = {state: 0 for state in State if state is not State.Unknown}

EVENT_ORDER: Final = "SRNDFC"
"""How the letters of one event follow one another: one script may report that a unit ran and that it went back."""


class Tracker:
    """The groups, pilots and attachments of one session, and the condition that tells of their changes."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.groups: dict[str, UnitGroup] = {}
        """By the head of their units' ids."""
        self.pilots: dict[str, TrackedPilot] = {}
        self.attachments: dict[str, set[str]] = {}
        """PilotComputeServices and PilotDataServices by the compute-data service that uses them."""
        self.data_units: set[str] = set()
        """Data units that the session is known to have, and of which no end was told."""
        self.version = 0
        """Grows with every change of a pilot or an attachment."""
        self.data_version = 0
        """Grows with everything that is told of data units and Pilot-Data."""
        self._failure: CoordinationError | None = None

    def renew_lock(self) -> None:
        """Take another lock, in a forked child: a thread of the parent may have held the old one."""
        self.changed = threading.Condition()

    def new_group(self, name: str, owner: str) -> UnitGroup:
        """Begin to follow a group; the same name returns the same group."""
        with self.changed:
            group = UnitGroup(name, owner)
            return self.groups.setdefault(group.head, group)

    def reserve(self, group: UnitGroup, count: int) -> int:
        """Add units that are about to be submitted, see `UnitGroup.reserve`."""
        with self.changed:
            return group.reserve(count)

    def withdraw(self, group: UnitGroup, first: int) -> None:
        """Forget units whose submission failed, see `UnitGroup.withdraw`."""
        with self.changed:
            group.withdraw(first)

    def confirm(self, group: UnitGroup, first: int, count: int) -> None:
        """Note that Redis has taken units, see `UnitGroup.confirm`."""
        with self.changed:
            group.confirm(first, count)

    def group_of(self, unit: str) -> tuple[UnitGroup | None, int]:
        """Return the group, None when it is not followed, and the number of a unit."""
        head, _, number = unit.rpartition("-")
        return (self.groups.get(head), int(number)) if number.isdecimal() else (None, 0)

    def is_waiting(self, unit: str) -> bool:
        """Tell whether a unit that is followed has not begun."""
        group, number = self.group_of(unit)
        return group is not None and group.is_waiting(number)

    def groups_of(self, owner: str) -> list[UnitGroup]:
        """Return the groups of one owner of queues."""
        with self.changed:
            return [group for group in self.groups.values() if group.owner == owner]

    def counts_of(self, owner: str) -> dict[State, int]:
        """Return how many units of an owner have each state."""
        found = dict(NO_UNITS)
        for group in self.groups_of(owner):
            group.add_to(found)
        return found

    def apply(self, events: Iterable[SessionEvent]) -> list[str]:
        """Take what Redis tells; returns the pilots of which this process had not heard."""
        strangers: list[str] = []
        with self.changed:
            for event in events:
                for letter in EVENT_ORDER:
                    self._move_units(event.units.get(letter, ()), letter)
                self.data_version += len(event.data)
                self.data_units -= {name for name, state in event.data if is_final(State(state))}
                strangers += [pilot for pilot, state in event.pilots if not self._move_pilot(pilot, state)]
            self.changed.notify_all()
        return strangers

    def _move_pilot(self, pilot: str, state: str) -> bool:
        """Set the state of a pilot; returns whether it is known."""
        known = self.pilots.get(pilot)
        if known is not None:
            before = known.state
            known.move(State(state))
            self.version += known.state is not before
        return known is not None

    def _move_units(self, units: Sequence[str], letter: str) -> None:
        groups = self.groups
        for unit in units:
            head, _, number = unit.rpartition("-")
            if head in groups:
                groups[head].move(int(number), letter)

    def settle(self, group: UnitGroup, letters: Iterable[tuple[int, str]]) -> None:
        """Take what the records of units say."""
        with self.changed:
            for number, letter in letters:
                group.move(number, letter)
            self.changed.notify_all()

    def set_pilot(self, pilot: TrackedPilot) -> TrackedPilot:
        """Follow a pilot, or learn more of one; returns the one that is followed."""
        with self.changed:
            known = self.pilots.setdefault(pilot.id, TrackedPilot(pilot.id, ""))
            self.version += known.learn(pilot)
            self.changed.notify_all()
            return known

    def set_attached(self, service: str, owner: str, *, attached: bool) -> None:
        """Note that a compute-data service uses a PilotComputeService, or does so no more."""
        with self.changed:
            services = self.attachments.setdefault(owner, set())
            self.version += (service in services) is not attached
            (services.add if attached else services.discard)(service)
            self.changed.notify_all()

    def pilots_for(self, owner: str) -> list[TrackedPilot]:
        """Return the pilots that may take units of an owner: itself, or those of its services."""
        with self.changed:
            services = self.attachments.get(owner, ())
            return [pilot for pilot in self.pilots.values() if pilot.id == owner or pilot.service in services]

    def has_room_for_all(self, owner: str) -> bool:
        """Tell whether each unit of an owner would fit into one of the living pilots that may take it."""
        live = [pilot for pilot in self.pilots_for(owner) if pilot.is_live and not pilot.is_to_be_measured]
        shapes = set().union(*(group.shapes for group in self.groups_of(owner)))
        return bool(live) and all(any(pilot.could_run(shape) for pilot in live) for shape in shapes)

    def reads_data(self, owner: str) -> bool:
        """Tell whether units of an owner that have not ended may wait for data."""
        return any(group.reads_data and group.open for group in self.groups_of(owner))

    def fail(self, error: CoordinationError) -> None:
        """Wake everybody who waits: nothing will be heard from Redis any more."""
        with self.changed:
            self._failure = error
            self.changed.notify_all()

    def wait_for(self, holds: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until ``holds`` or the time is over; returns what ``holds`` said last. Ctrl-C ends it at once.

        Raises:
            CoordinationError: Redis refuses this session for good.
        """
        with self.changed:
            self.changed.wait_for(lambda: holds() or self._failure is not None, timeout_s)
            if holds():
                return True
            if self._failure is not None:
                raise CoordinationError(str(self._failure), transient=False)
            return False
