"""Units that wait for a slot, by shape; which of them goes next. Whether it fits is decided elsewhere.

One heap per shape, ordered by priority, then arrival: looking for the next unit costs as much as there are shapes, however
many units wait. Units that leave from the middle stay in their heap until they come to its top, or are the half of it.

Invariant: a shape is listed as long as a unit of it waits, and the top of its heap waits.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from heapq import heapify, heappop, heappush

from pilot_agent.unit_record import UnitRecord

from .placement import Shape

_DEAD_KEPT = 16


class _ShapeQueue:
    __slots__ = ("count", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, UnitRecord]] = []
        self.count = 0


class WaitingQueue:
    """The waiting units of a pilot."""

    def __init__(self) -> None:
        self._shapes: dict[Shape, _ShapeQueue] = {}
        self._waiting: dict[str, UnitRecord] = {}
        self.cores = 0
        """What all of them ask for together."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, record: UnitRecord) -> bool:
        return self._waiting.get(record.id) is record

    def push(self, record: UnitRecord) -> None:
        """Add a unit at the place that its priority and arrival give it."""
        line = self._shapes.get(record.shape)
        if line is None:
            line = self._shapes[record.shape] = _ShapeQueue()
        heappush(line.heap, (record.rank, record.arrival, record))
        line.count += 1
        self._waiting[record.id] = record
        self.cores += record.shape.cores

    def first(self, besides: Container[Shape] = ()) -> UnitRecord | None:
        """Return the unit that goes next among the shapes not named in ``besides``; None when there is none."""
        best = None
        for shape, line in self._shapes.items():
            top = line.heap[0]
            if (best is None or top < best) and shape not in besides:
                best = top
        return best[2] if best is not None else None

    def remove(self, record: UnitRecord) -> None:
        """Take out a unit, wherever it stands."""
        del self._waiting[record.id]
        self.cores -= record.shape.cores
        line = self._shapes[record.shape]
        line.count -= 1
        if not line.count:
            del self._shapes[record.shape]
        elif line.heap[0][2] is record:
            heappop(line.heap)
            while line.heap[0][2] not in self:
                heappop(line.heap)
        elif len(line.heap) > 2 * line.count + _DEAD_KEPT:
            line.heap = [entry for entry in line.heap if entry[2] in self]
            heapify(line.heap)

    def last_first(self) -> Sequence[UnitRecord]:
        """Return all of them, the one that goes last first. Costs a sort: for rare occasions."""
        return sorted(self._waiting.values(), key=lambda record: (record.rank, record.arrival), reverse=True)
