"""Units, their queues and their dependencies in memory: what follows from a start, an end, a return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from .records import MemoryUnit, Queue

VAIN_CLAIMS = 100
"""Claims after which a unit that never starts is given up."""


class UnitBook:
    """All units of a session."""

    def __init__(self) -> None:
        self.units: dict[str, MemoryUnit] = {}
        self.unplaced: list[str] = []
        """Units that are ready, and that no living pilot could take."""
        self.canceling: set[str] = set()
        """Units whose cancellation was asked of their pilot."""
        self.returned: Counter[str] = Counter()
        """How many units one operation has put back into each queue: these keep their order."""
        self._queues: dict[str, list[tuple[int, str]]] = {}
        self._successors: dict[str, list[tuple[str, str]]] = {}
        self._sequence = 0
        self.releases: list[str] = []
        """Names of what may be waited for no more."""

    def add(self, name: str, unit: MemoryUnit, predecessors: Sequence[str]) -> bool:
        """Add a unit; False when one of its predecessors is unknown.

        Args:
            name: Its id.
            unit: The unit, state and dependencies still open.
            predecessors: The ids of other units.
        """
        if not self.knows_data(unit.inputs, unit.outputs):
            return False
        verdicts: dict[str, str] = {}
        for given in (*predecessors, *unit.inputs):
            if given not in self.units and given not in unit.inputs:
                return False
            verdicts[given] = self.verdict(given, unit.mode)
            if verdicts[given] == "end":
                break
        waits = [given for given, verdict in verdicts.items() if verdict == "wait"]
        self.units[name] = unit
        self.start_producing(name)
        if "end" in verdicts.values():
            self.conclude(name, "C")
        elif waits:
            self.wait_for(name, unit.mode, waits)
        else:
            self.make_ready(name, at_front=False)
        return True

    def knows_data(self, inputs: Sequence[str], outputs: Sequence[str]) -> bool:
        """Tell whether a unit's data is known, and none is both read and added to."""
        return not inputs and not outputs

    def start_producing(self, name: str) -> None:
        """Count a unit as one that is to add files."""

    def verdict(self, name: str, mode: str) -> str:
        """Tell what a unit means for who waits for it: ``go``, ``wait`` or ``end``."""
        letter = self.units[name].letter
        if letter not in "DFC":
            return "wait"
        return "go" if letter == "D" or mode != "c" else "end"

    def wait_for(self, name: str, mode: str, names: Sequence[str]) -> None:
        """Let a unit wait."""
        for given in names:
            self._successors.setdefault(given, []).append((mode, name))
        self.units[name].letter, self.units[name].open_predecessors = "W", len(names)

    def release_later(self, name: str) -> None:
        """Tell who waits for something once the operation ends."""
        if name in self._successors:
            self.releases.append(name)

    def held(self, pilot: str) -> list[str]:
        """Return the units that a pilot has, in order of their numbers."""
        found = [name for name, unit in self.units.items() if unit.is_held and unit.pilot == pilot]
        return sorted(found, key=lambda name: (len(name), name))

    def conclude(self, name: str, letter: str) -> None:
        """End a unit; :meth:`follow_up` does what follows from that."""
        self.canceling.discard(name)
        self.units[name].letter, self.units[name].open_predecessors = letter, 0
        self.release_later(name)

    def follow_up(self, abandoned: Mapping[str, str]) -> None:
        """Release or cancel what waits for the units that ended, until nothing follows; ends every operation.

        Args:
            abandoned: Owners from whose queues nobody takes any more, and how what waits there ends.
        """
        self.returned.clear()
        self._release_successors()
        self._drain(abandoned)
        while self.releases:
            self._release_successors()
            self._drain(abandoned)

    def _release_successors(self) -> None:
        while self.releases:
            name = self.releases.pop(0)
            if name.startswith("unplaced:"):
                self._place_again(int(name.partition(":")[2]))
            elif name.startswith("queue:"):
                _, number, queue = name.split(":", 2)
                self.place_queued(int(number), Queue.named(queue))
            else:
                self._release_all(name)

    def _place_again(self, number: int) -> None:
        again, self.unplaced = self.unplaced[:number], self.unplaced[number:]
        for name in again:
            if self.units[name].letter == "W" and not self.units[name].open_predecessors:
                self.make_ready(name, at_front=False)

    def place_queued(self, number: int, queue: Queue) -> None:
        """Place what reads data among the first so many units of a queue, for which there is no site any more."""

    def _release_all(self, name: str) -> None:
        waiting = self._successors.pop(name, [])
        verdicts = {mode: self.verdict(name, mode) for mode in {mode for mode, _ in waiting}}
        kept = [entry for entry in waiting if verdicts[entry[0]] == "wait"]
        if kept:
            self._successors[name] = kept
        for mode, successor in waiting:
            if verdicts[mode] != "wait":
                self._release(successor, cancel=verdicts[mode] == "end")

    def _release(self, name: str, *, cancel: bool) -> None:
        unit = self.units[name]
        if unit.letter != "W":
            return
        if cancel:
            self.conclude(name, "C")
            return
        unit.open_predecessors -= 1
        if unit.open_predecessors <= 0:
            unit.open_predecessors = 0
            self.make_ready(name, at_front=False)

    def make_ready(self, name: str, *, at_front: bool) -> None:
        """Queue a unit whose predecessors have ended."""
        unit = self.units[name]
        unit.letter = "N"
        entries = self._queues.setdefault(unit.queue, [])
        if at_front:
            entries.insert(self.returned[unit.queue], (0, name))
            self.returned[unit.queue] += 1
            return
        self._sequence += 1
        entries.append((self._sequence, name))

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
            self.make_ready(name, at_front=True)

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
        if unit.letter in "NW":
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

    def length(self, queue: Queue) -> int:
        """Return how many entries a queue has. Dead entries count."""
        return len(self._queues[queue.name])

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
