"""The units that one object submitted, and the state of each. Memory only, no I/O.

A unit costs one byte here and four more when it has ended. The invariant: a state changes only as the table of moves
allows, so a final state is never left, whatever is replayed.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from typing import Final

from pilot_protocol.states import (
    COMPUTE_UNIT_MOVES,
    FINAL_LETTERS,
    STATE_OF_LETTER,
    State,
    UnitLetter,
)

from .tracked_pilot import Shape

UNSEEN: Final = ord("?")
NEW: Final = ord("-")
"""Handed over to Redis, not confirmed."""

STATE_OF_CODE: Final[Mapping[int, State]] = {
    UNSEEN: State.Unknown,
    NEW: State.New,
    **{ord(letter): state for letter, state in STATE_OF_LETTER.items()},
}

_FINAL_CODES: Final = frozenset(map(ord, FINAL_LETTERS))
_CLOSED_CODES: Final = _FINAL_CODES | {UNSEEN}
_WAITING_CODES: Final = {NEW, ord(UnitLetter.READY)}
_CODE_OF_LETTER: Final = {
    letter: ord(UnitLetter.READY) if state is State.Pending else ord(letter)
    for letter, state in STATE_OF_LETTER.items()
}
_FOLLOWS: Final[Mapping[int, frozenset[int]]] = {
    old: frozenset(new for new in _CODE_OF_LETTER.values() if STATE_OF_CODE[new] in COMPUTE_UNIT_MOVES[state])
    for old, state in STATE_OF_CODE.items()
}
_UNSETTLED = re.compile(b"[NSR]")


class UnitGroup:
    """The units that one object submitted, numbered from 0 without gaps.

    Args:
        name: As in the units' ids, ``cu-<name>-<number>``.
        owner: The pilot or compute-data service in whose queues they wait.
    """

    __slots__ = ("codes", "ended", "head", "name", "open", "owner", "reads_data", "shapes")

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
        self.reads_data = False
        """Whether one of these may wait for data."""

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

    def is_waiting(self, number: int) -> bool:
        """Tell whether a unit is followed and has not begun."""
        return self.is_followed(number) and self.codes[number] in _WAITING_CODES

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
