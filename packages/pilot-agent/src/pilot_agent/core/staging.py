"""Units whose input is on its way. They hold no cores, and are not in the queue for any.

Invariant: a unit is here exactly while its phase is STAGING, and the mover owes one answer for each.
"""

from __future__ import annotations

from pilot_agent.unit_data import UnitData
from pilot_agent.unit_record import STAGING, UnitRecord

from .moves import Moves


class Staging:
    """Units that wait for their input.

    Args:
        moves: What the mover is asked.
    """

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._records: dict[str, UnitRecord] = {}
        self.cores = 0
        """What all of them ask for together."""

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, record: UnitRecord) -> bool:
        return self._records.get(record.id) is record

    def add(self, record: UnitRecord, data: UnitData) -> None:
        """Ask for a unit's input."""
        record.phase = STAGING
        self._records[record.id] = record
        self.cores += record.shape.cores
        self._moves.stage(record.id, record.attempt, data)

    def call_off(self, record: UnitRecord) -> None:
        """Ask the mover to stop; it answers when it has, so that nobody writes into the unit's folder any more."""
        self._moves.cancel(record.id, record.attempt)

    def find(self, unit_id: str, attempt: int) -> UnitRecord | None:
        """Return the unit whose input an answer is about; None when it is gone."""
        record = self._records.get(unit_id)
        return record if record is not None and record.attempt == attempt else None

    def remove(self, record: UnitRecord) -> None:
        """Take out a unit."""
        del self._records[record.id]
        self.cores -= record.shape.cores
