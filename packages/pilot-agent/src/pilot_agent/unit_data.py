"""What a unit has moved in before it starts and out after it has ended. Data only; pure.

Nothing here says where data units are: that is the mover's to find out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Patterns = Mapping[str, Sequence[str]]
"""Patterns of file names by data unit."""


class UnitData(NamedTuple):
    """The data of one unit.

    Attributes:
        folder: Where it runs, absolute.
        inputs: What is put there of which data units.
        fetches: Transfers ``source > target`` before it starts.
        outputs: What goes from there to which data units.
        sends: Transfers ``target < source`` after it has ended.
        keeps_failed: Whether that goes out even if it failed.
    """

    folder: str
    inputs: Patterns
    fetches: Sequence[str]
    outputs: Patterns
    sends: Sequence[str]
    keeps_failed: bool

    @property
    def is_staged(self) -> bool:
        """Whether something is moved in before it starts."""
        return bool(self.inputs or self.fetches)

    def delivery(self) -> dict[str, Any]:
        """Return what its order says of what goes out, to come back with its end; empty when nothing does."""
        if not (self.outputs or self.sends):
            return {}
        return {
            "folder": self.folder,
            "data": self.outputs,
            "transfers": self.sends,
            "keeps_failed": self.keeps_failed,
        }


def is_delivered(delivery: Mapping[str, Any] | None, letter: str) -> bool:
    """Tell whether a unit's output is moved out before its end is reported.

    Args:
        delivery: What its END says; None for nothing.
        letter: How its end is to be reported. Of a unit that failed by itself it is kept only if its description says so;
            one that was canceled, cut off or never ran leaves nothing that anybody waits for.
    """
    return delivery is not None and (letter == "D" or (letter == "E" and bool(delivery["keeps_failed"])))
