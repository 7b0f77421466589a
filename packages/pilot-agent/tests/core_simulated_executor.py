"""An executor that keeps the rules of the frames and runs nothing, for tests of the agent's core."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core_builders import end
from pilot_agent.actions import Action, SendPlace, SendRetract, SendSignal, SendStart, SendSweep
from pilot_agent.events import ExecutorEvents

NoteStart = Callable[[str, int, int, list[int], list[Any]], None]
"""Takes unit, attempt, node, cores there, and the ranks of an MPI unit."""


@dataclass
class RunningUnit:
    """A process of an executor."""

    attempt: int
    cores: list[int]
    is_alone: bool = False
    deliver: dict[str, Any] | None = None
    is_doomed: bool = False


@dataclass
class SimulatedExecutor:
    """Starts, hands cores on and tells, as an executor does."""

    index: int
    note_start: NoteStart
    node: int = 0
    inbox: deque[Action] = field(default_factory=deque)
    chained: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: dict[str, RunningUnit] = field(default_factory=dict)
    unflushed: list[str] = field(default_factory=list)
    ended: list[list[Any]] = field(default_factory=list)
    retracted: list[str] = field(default_factory=list)
    begun: list[list[Any]] = field(default_factory=list)
    """What it has written down of chained units before it started them."""
    ranks: dict[str, list[int]] = field(default_factory=dict)
    """Cores of ranks whose launcher is on another node: they stay when it ends, until they are swept."""
    swept: list[str] = field(default_factory=list)
    is_up: bool = True

    def read(self) -> None:
        """Obey the next frame."""
        frame = self.inbox.popleft()
        if isinstance(frame, SendStart):
            self._start(frame)
        elif isinstance(frame, SendPlace):
            self._place(frame)
        elif isinstance(frame, SendRetract):
            self.retracted += [name for name in frame.unit_ids if self.chained.pop(name, None) is not None]
        elif isinstance(frame, SendSignal):
            for unit_id, number in frame.signals:
                self._signal(unit_id, number)
        elif isinstance(frame, SendSweep):
            self._sweep(frame)

    def _place(self, frame: SendPlace) -> None:
        for unit_id, cores in frame.places:
            if unit_id in self.chained:
                self._run(self.chained.pop(unit_id), cores)

    def _sweep(self, frame: SendSweep) -> None:
        for unit_id, _, _ in frame.sweeps:
            self.ranks.pop(unit_id, None)
            self.swept.append(unit_id)

    def _start(self, frame: SendStart) -> None:
        for order in frame.orders:
            if order["cores"] is None:
                self.chained[order["id"]] = dict(order)
            else:
                self._run(order, order["cores"])

    def _signal(self, unit_id: str, number: int) -> None:
        if unit_id not in self.running:
            return
        if number == 9:
            self.end(unit_id, code=None, signal=9)
        else:
            self.running[unit_id].is_doomed = True

    def _run(self, order: dict[str, Any], cores: list[int]) -> None:
        self.note_start(order["id"], order["attempt"], self.node, cores, order.get("ranks", []))
        assert len(cores) == order["width"]
        self.running[order["id"]] = RunningUnit(
            order["attempt"], list(cores), "alone" in order, order.get("deliver")
        )
        self.unflushed.append(order["id"])

    def end(
        self, unit_id: str, code: int | None = 0, signal: int | None = None, run_s: float = 0.001
    ) -> None:
        """Reap a unit and start the next one of its width."""
        process = self.running.pop(unit_id)
        width = len(process.cores)
        heir = next((order for order in self.chained.values() if order["width"] == width), None)
        if process.is_alone:
            heir = None
        if heir is not None:
            del self.chained[heir["id"]]
            self.begun.append([heir["id"], heir["attempt"]])
            self._run(heir, process.cores)
        reason = "signal" if signal else "exit" if code else ""
        how = end(code, signal, reason, run_s=run_s)
        if process.deliver:
            how["deliver"] = process.deliver
        self.ended.append([unit_id, process.attempt, how, heir["id"] if heir else None])

    def flush(self) -> ExecutorEvents | None:
        """Return what the head does not know yet."""
        if not (self.unflushed or self.ended or self.retracted):
            return None
        started = [
            [name, self.running[name].attempt, 7, 0.0] for name in self.unflushed if name in self.running
        ]
        event = ExecutorEvents(self.index, started, self.ended, self.retracted)
        self.unflushed, self.ended, self.retracted = [], [], []
        return event
