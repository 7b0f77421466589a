"""What this process knows of the session: the state of each unit it cares for, and of each pilot. Memory only, no I/O.

A unit costs one byte here and four more when it has ended; handles are made on demand and read these. The watcher
writes what Redis says, submissions write what they sent, waiting threads read. All of it under one lock, with one
condition that wakes who waits.

The invariant: a state changes only as the table of moves allows, so a final state is never left, whatever is replayed.
"""

from __future__ import annotations

import re
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from pilot_protocol.errors import CoordinationError
from pilot_protocol.reads import SessionEvent
from pilot_protocol.states import (
    COMPUTE_UNIT_MOVES,
    FINAL_LETTERS,
    STATE_OF_LETTER,
    State,
    UnitLetter,
)

from .tracked_pilot import Shape, TrackedPilot

__all__ = ["NO_UNITS", "TrackedPilot", "Tracker", "UnitGroup"]

UNSEEN: Final = ord("?")
NEW: Final = ord("-")
"""Handed over to Redis, not confirmed."""

STATE_OF_CODE: Final[Mapping[int, State]] = {
    UNSEEN: State.Unknown,
    NEW: State.New,
    **{ord(letter): state for letter, state in STATE_OF_LETTER.items()},
}

NO_UNITS: Final[Mapping[State, int]] = {state: 0 for state in State if state is not State.Unknown}

_FINAL_CODES: Final = frozenset(map(ord, FINAL_LETTERS))
_CLOSED_CODES: Final = _FINAL_CODES | {UNSEEN}
_CODE_OF_LETTER: Final = {
    letter: ord(UnitLetter.READY) if state is State.Pending else ord(letter)
    for letter, state in STATE_OF_LETTER.items()
}
_FOLLOWS: Final[Mapping[int, frozenset[int]]] = {
    old: frozenset(new for new in _CODE_OF_LETTER.values() if STATE_OF_CODE[new] in COMPUTE_UNIT_MOVES[state])
    for old, state in STATE_OF_CODE.items()
}
_UNSETTLED = re.compile(b"[NSR]")

EVENT_ORDER: Final = "SRNDFC"
"""How the letters of one event follow one another: one script may report that a unit ran and that it went back."""


class UnitGroup:
    """The units that one object submitted, numbered from 0 without gaps.

    Args:
        name: As in the units' ids, ``cu-<name>-<number>``.
        owner: The pilot or compute-data service in whose queues they wait.
    """

    __slots__ = ("codes", "ended", "head", "name", "open", "owner", "shapes")

    def __init__(self, name: str, owner: str) -> None:
        self.name = name
        self.owner = owner
        self.head = f"cu-{name}"
        self.codes = bytearray()
        self.ended = array("I")
        """Numbers of the ended units, in the order in which they ended."""
        self.open = 0
        """Units that are known and have not ended."""
        self.shapes: set[Shape] = set()
        """Of all units that were ever followed."""

    def unit_id(self, number: int) -> str:
        """Return the id of a unit."""
        return f"{self.head}-{number}"

    def state(self, number: int) -> State:
        """Return the state of a unit."""
        return STATE_OF_CODE[self.codes[number]]

    def reserve(self, count: int) -> int:
        """Add new units and return the number of the first."""
        first = len(self.codes)
        self.codes += bytes((NEW,)) * count
        self.open += count
        return first

    def withdraw(self, first: int) -> None:
        """Forget the newest units, from ``first`` on: their submission failed."""
        self.open -= sum(code not in _FINAL_CODES for code in self.codes[first:])
        del self.codes[first:]

    def confirm(self, first: int, count: int) -> None:
        """Note that Redis has units that were new; it may have told more about some of them meanwhile."""
        pending = ord(UnitLetter.READY)
        for number in range(first, first + count):
            if self.codes[number] == NEW:
                self.codes[number] = pending

    def show(self, number: int) -> None:
        """Begin to follow a unit that another process submitted."""
        missing = number + 1 - len(self.codes)
        if missing > 0:
            self.codes += bytes((UNSEEN,)) * missing
        if self.codes[number] == UNSEEN:
            self.codes[number] = NEW
            self.open += 1

    def hide(self, number: int) -> None:
        """Stop following a unit that turned out not to exist."""
        self.codes[number] = UNSEEN
        self.open -= 1

    def is_followed(self, number: int) -> bool:
        """Tell whether the state of a unit is followed."""
        return 0 <= number < len(self.codes) and self.codes[number] != UNSEEN

    def is_open(self, number: int) -> bool:
        """Tell whether a unit is followed and has not ended."""
        return self.codes[number] not in _CLOSED_CODES

    def count_followed(self) -> int:
        """Return how many units are followed, ended ones too."""
        return len(self.codes) - self.codes.count(UNSEEN)

    def move(self, number: int, letter: str) -> None:
        """Set the state of a unit that is followed, if the table of moves allows it."""
        if not self.is_followed(number):
            return
        code = _CODE_OF_LETTER[letter]
        if code not in _FOLLOWS[self.codes[number]]:
            return
        self.codes[number] = code
        if code in _FINAL_CODES:
            self.open -= 1
            self.ended.append(number)

    def unsettled(self) -> Iterator[int]:
        """Yield the units that Redis has and that have not ended."""
        return (found.start() for found in _UNSETTLED.finditer(bytes(self.codes)))

    def add_to(self, counts: dict[State, int]) -> None:
        """Add how many of the followed units have each state."""
        for code, state in STATE_OF_CODE.items():
            if code != UNSEEN:
                counts[state] += self.codes.count(code)


class Tracker:
    """The groups, pilots and attachments of one session, and the condition that tells of their changes."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.groups: dict[str, UnitGroup] = {}
        """By the head of their units' ids."""
        self.pilots: dict[str, TrackedPilot] = {}
        self.attachments: dict[str, set[str]] = {}
        """PilotComputeServices by the compute-data service that uses them."""
        self.version = 0
        """Grows with every change of a pilot or an attachment."""
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
