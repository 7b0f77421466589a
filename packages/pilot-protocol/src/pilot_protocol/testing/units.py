"""Units, their queues and their dependencies in memory: what follows from a start, an end, a return."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

VAIN_CLAIMS = 100
"""Claims after which a unit that never starts is given up."""

_QUEUE = re.compile(r"([^/]*)/([^/,]*),([^/,]*)/(\d+)\.(\d+)\.(\d+)\.(\d+)/(-?\d+)")


@dataclass
class MemoryUnit:
    """What is known of a unit."""

    queue: str
    retries: int
    restarts: int
    description: bytes
    letter: str = "N"
    attempt: int = 0
    pilot: str = ""
    open_predecessors: int = 0
    vain_claims: int = 0
    """How often it came back unstarted since it last started."""
    result: bytes = b""

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.letter in "DFC"

    @property
    def is_held(self) -> bool:
        """Whether a pilot has it."""
        return self.letter in "ASR"


@dataclass(frozen=True)
class Queue:
    """A queue's name, taken apart."""

    name: str
    owner: str
    label: tuple[str, str]
    size: tuple[int, ...]
    """Cores, cores in one block, GPUs, memory in MB: what a pilot must have."""
    priority: int

    @classmethod
    def named(cls, name: str) -> Queue:
        """Return the queue of this name."""
        found = _QUEUE.fullmatch(name)
        if found is None:
            raise ValueError(f"{name!r} names no queue")
        owner, datacenter, machine, *size, priority = found.groups()
        return cls(name, owner, (datacenter, machine), tuple(map(int, size)), int(priority))

    @property
    def cores(self) -> int:
        """Cores of each of its units."""
        return self.size[0]


class UnitBook:
    """All units of a session."""

    def __init__(self) -> None:
        self.units: dict[str, MemoryUnit] = {}
        self.canceling: set[str] = set()
        """Units whose cancellation was asked of their pilot."""
        self.returned: Counter[str] = Counter()
        """How many units one operation has put back into each queue: these keep their order."""
        self._queues: dict[str, list[tuple[int, str]]] = {}
        self._successors: dict[str, list[tuple[str, str]]] = {}
        self._sequence = 0
        self._ended: list[str] = []

    def add(self, name: str, unit: MemoryUnit, mode: str, predecessors: Sequence[str]) -> bool:
        """Add a unit; False when one of its predecessors is unknown.

        Args:
            name: Its id.
            unit: The unit, state and dependencies still open.
            mode: ``c`` if it is to be canceled when a predecessor does not end well.
            predecessors: Their ids.
        """
        still_open = []
        for predecessor in predecessors:
            before = self.units.get(predecessor)
            if before is None:
                return False
            if mode == "c" and before.letter in "FC":
                unit.letter = "C"
                break
            if not before.is_final:
                still_open.append(predecessor)
        self.units[name] = unit
        if unit.letter == "N":
            self._join(name, mode, still_open)
        return True

    def _join(self, name: str, mode: str, predecessors: Sequence[str]) -> None:
        for predecessor in predecessors:
            self._successors.setdefault(predecessor, []).append((mode, name))
        if predecessors:
            self.units[name].letter, self.units[name].open_predecessors = "W", len(predecessors)
        else:
            self._enqueue(name)

    def held(self, pilot: str) -> list[str]:
        """Return the units that a pilot has, in order of their numbers."""
        found = [name for name, unit in self.units.items() if unit.is_held and unit.pilot == pilot]
        return sorted(found, key=lambda name: (len(name), name))

    def conclude(self, name: str, letter: str) -> None:
        """End a unit; :meth:`follow_up` does what follows from that."""
        self.canceling.discard(name)
        self.units[name].letter = letter
        self._ended.append(name)

    def follow_up(self, abandoned: Mapping[str, str]) -> None:
        """Release or cancel what waits for the units that ended, until nothing follows; ends every operation.

        Args:
            abandoned: Owners from whose queues nobody takes any more, and how what waits there ends.
        """
        self.returned.clear()
        self._release_successors()
        self._drain(abandoned)
        while self._ended:
            self._release_successors()
            self._drain(abandoned)

    def _release_successors(self) -> None:
        while self._ended:
            name = self._ended.pop(0)
            for mode, successor in self._successors.pop(name, []):
                self._release(successor, cancel=mode == "c" and self.units[name].letter != "D")

    def _release(self, name: str, *, cancel: bool) -> None:
        unit = self.units[name]
        if unit.letter != "W":
            return
        if cancel:
            self.conclude(name, "C")
            return
        unit.open_predecessors -= 1
        if not unit.open_predecessors:
            self._enqueue(name)

    def _enqueue(self, name: str) -> None:
        self._sequence += 1
        self.units[name].letter = "N"
        self._queues.setdefault(self.units[name].queue, []).append((self._sequence, name))

    def requeue(self, name: str, *, in_vain: bool) -> None:
        """Put a unit back to the front of its queue, unless it is being canceled."""
        unit = self.units[name]
        if name in self.canceling:
            self.conclude(name, "C")
            return
        unit.vain_claims += in_vain
        if unit.vain_claims >= VAIN_CLAIMS:
            self.conclude(name, "F")
        else:
            unit.letter = "N"
            self._queues.setdefault(unit.queue, []).insert(self.returned[unit.queue], (0, name))
            self.returned[unit.queue] += 1

    def give_back(self, names: Sequence[str]) -> None:
        """Take units from a pilot that is gone. What had not started costs nothing."""
        for name in names:
            unit = self.units[name]
            if unit.letter == "R" and not unit.restarts:
                self.conclude(name, "C" if name in self.canceling else "F")
                continue
            unit.restarts -= unit.letter == "R"
            self.requeue(name, in_vain=unit.letter != "R")

    def adopt(self, name: str, pilot: str, attempt: int) -> None:
        """Believe a pilot that has a later attempt than is known here."""
        unit = self.units[name]
        unit.letter, unit.pilot, unit.attempt, unit.open_predecessors = "A", pilot, attempt, 0

    def report(self, pilot: str, item: tuple[str, int, str, bytes], *, current: bool) -> str:
        """Take one unit's news from its agent; returns the digit of the reply.

        Args:
            pilot: Whose agent speaks.
            item: Unit, attempt, letter, sealed result.
            current: Whether no other agent has taken over and the pilot has not ended.
        """
        name, attempt, letter, result = item
        unit = self.units.get(name)
        if unit is None:
            return "3"
        if current and not unit.is_final and unit.attempt < attempt:
            self.adopt(name, pilot, attempt)
        if unit.pilot != pilot or unit.attempt != attempt:
            return "0"
        if unit.is_final:
            return "2"
        if unit.letter == "N":
            return self._report_late(name, letter, result)
        return self._report_held(name, letter, result) if current else "0"

    def _report_held(self, name: str, letter: str, result: bytes) -> str:
        unit = self.units[name]
        if letter not in "RS":
            self._settle(name, letter, result)
        elif unit.letter in {letter, "R"}:
            return "2"
        else:
            unit.letter = letter
            unit.vain_claims *= letter != "R"
        return "1"

    def _report_late(self, name: str, letter: str, result: bytes) -> str:
        if letter not in "DFCE":
            return "0"
        if letter == "E" and self.units[name].retries:
            return "2"
        self._settle(name, letter, result)
        return "1"

    def _settle(self, name: str, letter: str, result: bytes) -> None:
        unit = self.units[name]
        spent = {"L": "restarts", "E": "retries"}.get(letter)
        unit.vain_claims *= letter in "UH"
        if letter in "UH" or (spent and getattr(unit, spent)):
            unit.pilot = ""
            if spent:
                setattr(unit, spent, getattr(unit, spent) - 1)
            self.requeue(name, in_vain=letter == "U")
            return
        if letter == "L" and name in self.canceling:
            self.conclude(name, "C")
            return
        unit.result = result
        self.conclude(name, "F" if spent else letter)

    def queues(self, owners: Sequence[str]) -> Iterator[Queue]:
        """Yield the queues of owners that have entries, the lowest priority of an owner first."""
        for owner in owners:
            mine = [Queue.named(name) for name, entries in self._queues.items() if entries]
            yield from sorted((q for q in mine if q.owner == owner), key=lambda q: (q.priority, q.name))

    def first(self, queue: Queue) -> int | None:
        """Return the sequence number of the first entry; None when there is none. Dead entries count."""
        entries = self._queues[queue.name]
        return entries[0][0] if entries else None

    def pop(self, queue: Queue) -> str | None:
        """Take the first entry; None when it is dead: its unit was canceled or taken over."""
        _, name = self._queues[queue.name].pop(0)
        return name if self.units[name].letter == "N" else None

    def _drain(self, abandoned: Mapping[str, str]) -> None:
        for queue in list(self.queues(list(abandoned))):
            while self.first(queue) is not None:
                name = self.pop(queue)
                if name is not None:
                    self.conclude(name, abandoned[queue.owner])
