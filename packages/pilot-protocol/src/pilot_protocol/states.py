"""States of pilots, compute units, data units and Pilot-Data, and the moves among them.

The tables are data: the code that changes a state, the tests and the diagrams of the documentation read them.
A reader may see fewer states than there were, because changes are reported in batches: what lies further on may
therefore follow directly (a short unit goes from Pending to Done). Moving *back* is what a table has to name.
Invariant: a final state is never left.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from .errors import StateError


class State(str, Enum):
    """State of an object, equal to the string of the same name (``State.Done == "Done"``)."""

    Unknown = "Unknown"
    New = "New"
    Pending = "Pending"
    Staging = "Staging"
    Running = "Running"
    Done = "Done"
    Canceled = "Canceled"
    Failed = "Failed"

    # What Enum does here changed between 3.9 and 3.12; a state prints as its plain string on all of them.
    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


Moves = Mapping[State, frozenset[State]]

FINAL: Final = frozenset({State.Done, State.Canceled, State.Failed})


def _moves(*way: State, back: Mapping[State, frozenset[State]]) -> Moves:
    """Return the table in which states follow one another along ``way``, end anywhere, go back as named."""
    table = {State.Unknown: frozenset(way) | FINAL}  # a handle made from a URL starts there
    for position, state in enumerate(way):
        table[state] = frozenset(way[position + 1 :]) | FINAL | back.get(state, frozenset())
    table.update((state, frozenset()) for state in FINAL)
    return MappingProxyType(table)


PILOT_MOVES: Final = _moves(State.New, State.Pending, State.Running, back={})

COMPUTE_UNIT_MOVES: Final = _moves(
    State.New,
    State.Pending,
    State.Staging,
    State.Running,
    back={
        # The pilot was lost, or a retry is due; the next attempt may be staging when the reader looks.
        State.Staging: frozenset({State.Pending}),
        State.Running: frozenset({State.Pending, State.Staging}),
    },
)

DATA_UNIT_MOVES: Final = _moves(
    State.New,
    State.Pending,
    State.Running,
    back={State.Running: frozenset({State.Pending})},  # a further replica or further files are being placed
)

PILOT_DATA_MOVES: Final = _moves(State.New, State.Running, back={})


def is_final(state: State) -> bool:
    """Return whether nothing follows ``state``."""
    return state in FINAL


def move(table: Moves, old: State, new: State) -> State:
    """Return the state after going from ``old`` to ``new``; staying is no move and always allowed.

    Args:
        table: one of the tables of this module.
        old: the present state.
        new: the state to go to.

    Returns:
        ``new``.

    Raises:
        StateError: the table does not have this move.
    """
    allowed = table.get(old)
    if allowed is None:
        raise StateError(f"state cannot change from {old} to {new}: this kind of object is never {old}")
    if new in allowed or new is old:
        return new
    names = ", ".join(state for state in State if state in allowed)
    rule = f"allowed are {names}" if names else "it is final"
    raise StateError(f"state cannot change from {old} to {new}: {rule}")


class UnitLetter:
    """The letters that stand for a compute unit's state in its record, finer than what the user sees."""

    WAITING: Final = "W"  # for its predecessors or for data
    READY: Final = "N"  # in a queue, any pilot that fits may take it
    CLAIMED: Final = "A"  # by one pilot, not started
    STAGING: Final = "S"
    RUNNING: Final = "R"
    DONE: Final = "D"
    FAILED: Final = "F"
    CANCELED: Final = "C"


STATE_OF_LETTER: Final[Mapping[str, State]] = MappingProxyType(
    {
        UnitLetter.WAITING: State.Pending,
        UnitLetter.READY: State.Pending,
        UnitLetter.CLAIMED: State.Pending,
        UnitLetter.STAGING: State.Staging,
        UnitLetter.RUNNING: State.Running,
        UnitLetter.DONE: State.Done,
        UnitLetter.FAILED: State.Failed,
        UnitLetter.CANCELED: State.Canceled,
    }
)

FINAL_LETTERS: Final = frozenset({UnitLetter.DONE, UnitLetter.FAILED, UnitLetter.CANCELED})
