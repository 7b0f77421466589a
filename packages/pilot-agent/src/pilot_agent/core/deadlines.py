"""When something is due for a unit: the end of its walltime, the SIGKILL after a SIGTERM that did not help, its way back.

Or the end of waiting for a mover. A heap; entries of units that are gone are passed over at the top, and cleared out when they are the half of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from pilot_agent.unit_record import GONE, UnitRecord

WALLTIME: Final = "walltime"
KILL: Final = "kill"
GIVE_BACK: Final = "give back"
ABANDON: Final = "abandon"
_DEAD_KEPT = 64


class Deadlines:
    """Times at which units want attention."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, UnitRecord]] = []
        self._serial = 0
        self._dead = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at_s: float, kind: str, record: UnitRecord) -> None:
        """Remember a deadline of a unit."""
        self._serial += 1
        record.timers += 1
        heappush(self._heap, (at_s, self._serial, kind, record))

    def forget(self, record: UnitRecord) -> None:
        """Note that a unit is gone, and all its deadlines with it."""
        self._dead += record.timers
        if self._dead > _DEAD_KEPT and 2 * self._dead > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[3].phase != GONE]
            heapify(self._heap)
            self._dead = 0

    def due(self, now_s: float) -> Iterator[tuple[str, UnitRecord]]:
        """Yield and forget the deadlines that have come, of units that are still there."""
        while self._heap and self._heap[0][0] <= now_s:
            _, _, kind, record = heappop(self._heap)
            if record.phase == GONE:
                self._dead -= 1
            else:
                record.timers -= 1
                yield kind, record

    def next_s(self) -> float | None:
        """Return the time of the next one, None when there is none."""
        return self._heap[0][0] if self._heap else None
