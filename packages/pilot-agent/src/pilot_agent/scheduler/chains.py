"""Units that executors hold ahead: each starts on the cores of the next unit of its width that ends there.

Executors take them first in, first out. What the head does not know yet, because an event is on its way, is settled by
what the event says: ``next_id`` of an end is the truth.

Invariant: as long as the agent starts units, an executor that holds a chained unit also runs one of that width.
"""

from __future__ import annotations

from collections import Counter, deque
from math import ceil

from pilot_agent.rate import Rates
from pilot_agent.unit_record import UnitRecord

from .slots import Slots

MOST_CHAINED = 256
"""Units of one width that one executor holds, whatever the rate."""


class Chains:
    """Who is chained where, and how many units of each width run there."""

    def __init__(self, executors: int) -> None:
        self.lines: list[dict[int, dict[str, UnitRecord]]] = [{} for _ in range(executors)]
        """Per executor and width, in the order of the executor; without those that are being retracted."""
        self.running: dict[int, dict[int, int]] = {}
        """Units on a slot, per width and executor; executors that run none are not there."""
        self._runs: Counter[int] = Counter()
        self._waits: Counter[int] = Counter()
        self._busy: dict[tuple[int, int], None] = {}
        """Executor and width of the lines that are not empty."""
        self.retracting: dict[str, UnitRecord] = {}
        self.count = 0
        """Units in ``lines``."""

    def add(self, record: UnitRecord, executor: int) -> None:
        """Chain a unit."""
        width = record.shape.cores
        self.lines[executor].setdefault(width, {})[record.id] = record
        self.count += 1
        self._waits[width] += 1
        self._busy[executor, width] = None

    def remove(self, record: UnitRecord) -> None:
        """Take out a unit: it has started, or will not."""
        if record.is_retracting:
            record.is_retracting = False
            del self.retracting[record.id]
        else:
            executor, width = record.executor, record.shape.cores
            line = self.lines[executor][width]
            del line[record.id]
            self.count -= 1
            self._waits[width] -= 1
            if not line:
                del self._busy[executor, width]

    def retract(self, record: UnitRecord) -> None:
        """Do not count on a unit any longer: its executor is asked to give it back."""
        self.remove(record)
        record.is_retracting = True
        self.retracting[record.id] = record

    def newest(self, executor: int, width: int) -> UnitRecord | None:
        """Return the last in line: the least likely to have started meanwhile."""
        line = self.lines[executor].get(width)
        return next(reversed(line.values())) if line else None

    def widths(self) -> list[tuple[int, int]]:
        """Return executor and width of each line that is not empty."""
        return list(self._busy)

    def start(self, executor: int, width: int) -> None:
        """Count a unit that has got cores."""
        running = self.running.setdefault(width, {})
        running[executor] = running.get(executor, 0) + 1
        self._runs[width] += 1

    def end(self, executor: int, width: int) -> None:
        """Count a unit that has given them back."""
        running = self.running[width]
        running[executor] -= 1
        if not running[executor]:
            del running[executor]
        self._runs[width] -= 1

    def runs_at(self, executor: int, width: int) -> int:
        """Return how many units of ``width`` an executor runs."""
        return self.running.get(width, {}).get(executor, 0)

    def runs(self, width: int) -> int:
        """Return how many units of ``width`` run."""
        return self._runs[width]

    def waits(self, width: int) -> int:
        """Return how many units of ``width`` executors hold ahead."""
        return self._waits[width]

    def waiting_at(self, executor: int, width: int) -> int:
        """Return how many units of ``width`` an executor holds ahead."""
        return len(self.lines[executor].get(width, ()))


class ChainRooms:
    """How many more units each executor should hold ahead, worked out once per width and turn."""

    def __init__(self, chains: Chains, rates: Rates, slots: Slots, now_s: float) -> None:
        self._chains = chains
        self._rates = rates
        self._slots = slots
        self._now_s = now_s
        self._rooms: dict[int, deque[tuple[int, int]]] = {}
        self._served: set[int] = set()

    def serves(self, record: UnitRecord) -> bool:
        """Whether the unit's turn comes by chaining: short units of its width run."""
        return record.is_chainable and (record.shape.cores in self._served)

    def take(self, record: UnitRecord) -> int:
        """Return the executor that should hold the unit, -1 when none should; each in turn, so that none runs dry."""
        if not record.is_chainable:
            return -1
        width = record.shape.cores
        rooms = self._rooms.get(width)
        if rooms is None:
            rooms = self._rooms[width] = self._work_out(width)
        if not rooms:
            return -1
        executor, room = rooms.popleft()
        if room > 1:
            rooms.append((executor, room - 1))
        return executor

    def _work_out(self, width: int) -> deque[tuple[int, int]]:
        ahead = self._rates.ahead(width, self._now_s)
        runs = self._chains.runs(width) if ahead else 0
        if not runs:
            return deque()
        self._served.add(width)
        rooms: deque[tuple[int, int]] = deque()
        if self._chains.waits(width) >= ahead:  # the usual case, which must not cost a look at each executor
            return rooms
        for executor, share in self._chains.running[width].items():
            depth = min(ceil(ahead * share / runs), MOST_CHAINED)
            room = depth - self._chains.waiting_at(executor, width)
            if room > 0 and executor in self._slots.node_of_executor[executor].alive:
                rooms.append((executor, room))
        return rooms
