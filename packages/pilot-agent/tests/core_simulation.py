"""A small world around the agent's core: a Redis, executors that keep the rules of the frames, and everything between
them delayed at will. It knows what really happens (who runs on which core), and objects at once when that is wrong.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from core_builders import Request
from core_simulated_executor import SimulatedExecutor
from core_simulated_mover import SimulatedMover
from core_simulated_redis import FINAL, StoredUnit, StoredUnits
from pilot_agent.actions import (
    Action,
    Claim,
    Finish,
    NoteCauses,
    Report,
    SendMoves,
    SendPlace,
    SendRetract,
    SendSignal,
    SendStart,
    SendSweep,
    WakeAt,
)
from pilot_agent.core import AgentCore, CoreSettings
from pilot_agent.core.claims import PASS_ON
from pilot_agent.events import (
    CancelRequested,
    Doorbell,
    Event,
    ExecutorEvents,
    ExecutorLost,
    ExecutorSilent,
    ExecutorUp,
    Fenced,
    LeaseEnded,
    LinkBack,
    ReportConfirmed,
    Swept,
    Tick,
    UnitsClaimed,
)
from pilot_agent.scheduler.slots import NodeSpec

END_S = 1e6
"""When the pilot's walltime ends: later than any test does."""
TOO_LONG = 1e6
"""Walltime, in minutes, of a unit that could not end before that."""


class World:
    """Core, Redis and executors. Nothing happens by itself."""

    def __init__(
        self, cores: int, executors: int, overtakes: int = 3, gpus: int = 2, more_nodes: int = 0
    ) -> None:
        settings = CoreSettings(end_s=END_S, grace_s=1.0, most_overtakes=overtakes)
        specs = [NodeSpec(cores, gpus, 1000, executors), *[NodeSpec(cores, gpus, 1000)] * more_nodes]
        self.core = AgentCore(specs, settings)
        self.redis = StoredUnits()
        self.mover = SimulatedMover()
        nodes = [node for node, spec in enumerate(specs) for _ in range(spec.executors)]
        self.executors = [SimulatedExecutor(index, self.note_start, node) for index, node in enumerate(nodes)]
        self.way_up: list[deque[ExecutorEvents | Swept]] = [deque() for _ in nodes]
        self.silent: set[int] = set()
        """Executors that run on where nothing is heard of them."""
        self.claim: Claim | None = None
        self.report: Report | None = None
        self.finish: Finish | None = None
        self.wake_s: float | None = None
        self.is_fenced = False
        self.now_s = 50.0
        self.starts: list[str] = []
        self.tell(Doorbell())

    def tell(self, event: Event) -> None:
        """Let the core handle an event, carry out what it wants, and look at its books."""
        for action in self.core.handle(event, self.now_s):
            self._carry_out(action)
        self.core.sanity_check()

    def _carry_out(self, action: Action) -> None:
        assert self.finish is None, f"{action} after the end"
        if isinstance(action, (SendSignal, SendRetract)) and action.executor in self.silent:
            return  # nothing gets there any more, and nothing is expected of it
        if isinstance(action, (SendStart, SendPlace, SendSignal, SendRetract, SendSweep)):
            assert self.executors[action.executor].is_up, f"{action} to a lost executor"
            self.executors[action.executor].inbox.append(action)
        elif isinstance(action, Claim):
            assert self.claim is None, "two claims under way"
            assert (action.want > 0 and action.cores > 0) or action is PASS_ON
            self.claim = action
        elif isinstance(action, Report):
            assert self.report is None, "two reports under way"
            assert 0 < len(action.items) <= 500
            self.report = action
            self._check_delivered(action)
        elif isinstance(action, SendMoves):
            self.mover.take(action.requests)
        elif isinstance(action, NoteCauses):
            assert action.causes
        elif isinstance(action, WakeAt):
            self.wake_s = action.at_s
        else:
            assert isinstance(action, Finish)
            self.finish = action
            self.claim = None

    def _check_delivered(self, report: Report) -> None:
        """Object if a unit is told to be done whose output is not where it belongs."""
        for item in report.items:
            if item.letter == "D" and self.redis.units[item.id].request.delivers:
                assert (item.id, item.attempt) in self.mover.delivered, f"{item.id} is not delivered"

    def _busy(self) -> set[tuple[int, int]]:
        running = {
            (executor.node, core)
            for executor in self.executors
            for unit in executor.running.values()
            for core in unit.cores
        }
        return running | {
            (executor.node, core)
            for executor in self.executors
            for cores in executor.ranks.values()
            for core in cores
        }

    def note_start(self, unit_id: str, attempt: int, node: int, cores: list[int], ranks: list[Any]) -> None:
        """Object if a core is taken, or if another attempt of the unit runs."""
        wanted = {(node, core) for core in cores} | {(there, core) for there, own, _ in ranks for core in own}
        assert not self._busy() & wanted, f"{unit_id} starts on a core that is taken"
        assert all(unit_id not in executor.running for executor in self.executors), f"{unit_id} runs twice"
        assert all(unit_id not in executor.ranks for executor in self.executors), f"{unit_id} has ranks left"
        stored = self.redis.units[unit_id]
        stored.starts += 1
        if stored.request.max_restarts == 0:
            assert stored.starts == 1, f"{unit_id} started more than once"
            assert stored.state not in ("A", "S"), f"{unit_id} started before Redis knew"
        if stored.request.stages:
            assert (unit_id, attempt) in self.mover.staged, f"{unit_id} started without its input"
            assert (unit_id, attempt) not in self.mover.released, f"{unit_id} started after its release"
        assert attempt <= stored.attempt
        self.starts.append(unit_id)
        for there, own, _ in ranks:
            executor = next(executor for executor in self.executors if executor.node == there)
            if there != node and executor.is_up:
                executor.ranks.setdefault(unit_id, []).extend(own)

    # --- the steps ---

    def submit(self, request: Request, retries: int = 0) -> StoredUnit:
        stored = self.redis.submit(request, retries)
        if self.redis.is_hungry and not self.is_fenced:
            self.redis.is_hungry = False
            self.tell(Doorbell())
        return stored

    def answer_claim(self) -> None:
        if self.claim is not None and not self.is_fenced:
            claim, self.claim = self.claim, None
            self.tell(UnitsClaimed(self.redis.claim(claim)))

    def answer_report(self) -> None:
        if self.report is not None and not self.is_fenced:
            report, self.report = self.report, None
            outcomes = self.redis.report(report.items)
            self.tell(ReportConfirmed(outcomes))
            self._ring()

    def _ring(self) -> None:
        if self.redis.is_hungry and any(stored.state == "N" for stored in self.redis.units.values()):
            self.redis.is_hungry = False
            self.tell(Doorbell())

    def flush(self, index: int) -> None:
        event = self.executors[index].flush()
        if event is not None:
            self.way_up[index].append(event)
        swept, self.executors[index].swept = self.executors[index].swept, []
        if swept:
            self.way_up[index].append(Swept(index, swept))

    def deliver(self, index: int) -> None:
        if self.way_up[index] and index not in self.silent:
            self.tell(self.way_up[index].popleft())

    def move(self, which: int, error: str = "") -> None:
        """Let the mover answer one request."""
        event = self.mover.answer(which, error)
        if event is not None:
            self.tell(event)

    def cancel(self, stored: StoredUnit) -> None:
        if self.redis.cancel(stored):
            self.tell(CancelRequested([stored.id]))

    def pass_time(self, seconds: float) -> None:
        """Move the clock, waking the core whenever it asked for it."""
        until_s = self.now_s + seconds
        while self.wake_s is not None and self.wake_s <= until_s:
            self.now_s, self.wake_s = max(self.wake_s, self.now_s), None
            self.tell(Tick())
        self.now_s = until_s

    def silence(self, index: int) -> None:
        """Cut an executor off: it runs on, until it counts as lost."""
        self.executors[index].is_up = False
        self.executors[index].inbox.clear()
        self.silent.add(index)
        self.tell(ExecutorSilent(index))

    def lose(self, index: int) -> None:
        """Kill an executor. Its journal has every end that it has not told, and every chained unit that it began."""
        executor = self.executors[index]
        self.flush(index)
        told = [event for event in self.way_up[index] if isinstance(event, ExecutorEvents)]
        journal = [entry[:3] for event in told for entry in event.ended]
        self.way_up[index].clear()
        self.executors[index] = SimulatedExecutor(index, self.note_start, executor.node, is_up=False)
        executor.running.clear()
        self.silent.discard(index)
        self.tell(ExecutorLost(index, journal, executor.begun))

    def revive(self, index: int) -> None:
        if index in self.silent:
            self.lose(index)
        self.executors[index].is_up = True
        self.tell(ExecutorUp(index))

    def fence(self) -> None:
        self.is_fenced = True
        self.tell(LeaseEnded())

    def reconnect(self) -> None:
        """Say what was said without an answer, sync, go on: the order that the head keeps."""
        self.is_fenced = False
        self.answer_report()
        drop = self.redis.sync(self.core.held())
        self.claim = None
        self.tell(Fenced(drop))
        self.report = None
        self.claim = None
        self.tell(LinkBack())

    # --- to the end ---

    def turn(self) -> None:
        """Let everything happen once: frames down, doomed units end, one other unit ends, frames up, replies."""
        for index, executor in enumerate(self.executors):
            while executor.inbox:
                executor.read()
            for unit_id in [name for name, process in executor.running.items() if process.is_doomed]:
                executor.end(unit_id, code=None, signal=15)
            if executor.running:
                executor.end(next(iter(executor.running)))
            self.flush(index)
            for _ in range(len(self.way_up[index])):
                self.deliver(index)
        self.answer_report()
        for _ in range(len(self.mover.open)):
            self.move(0)
        self.answer_claim()
        self.pass_time(0.05)

    def run_out(self, most_turns: int = 3000) -> None:
        """Let time pass until every unit has ended."""
        self.mend()
        for stored in self.redis.units.values():
            if stored.request.walltime == TOO_LONG:
                self.cancel(stored)
        for _ in range(most_turns):
            if (
                all(stored.state in FINAL for stored in self.redis.units.values())
                and self.core.table.is_empty
            ):
                break
            self.turn()
        while self.report is not None:
            self.answer_report()
        states = {
            stored.id: stored.state for stored in self.redis.units.values() if stored.state not in FINAL
        }
        assert not states, f"never ended: {states}; {self.core.table.records}; claim {self.claim}"
        self.check_end()

    def run_to_finish(self, event: Event, most_turns: int = 500) -> None:
        """Ask the pilot to end, and let time pass until it has."""
        self.mend()
        self.tell(event)
        for _ in range(most_turns):
            if self.finish is not None:
                break
            self.turn()
        assert self.finish is not None, f"never ended: {self.core.table.records}"
        assert not any(executor.running or executor.chained for executor in self.executors)
        assert not any(stored.is_held for stored in self.redis.units.values())
        self.check_end()

    def mend(self) -> None:
        if self.is_fenced:
            self.reconnect()
        for index, executor in enumerate(self.executors):
            if not executor.is_up:
                self.revive(index)

    def check_end(self) -> None:
        """Nothing is left over, and no unit started more often than there were reasons for."""
        assert self.core.free_cores == sum(node.spec.cores for node in self.core.scheduler.slots.nodes)
        assert not any(executor.ranks for executor in self.executors)
        assert self.core.table.reports.is_empty
        assert not self.core.held()
        assert self.mover.asked <= self.mover.released, "input is kept for units that have ended"
        for stored in self.redis.units.values():
            allowed = 1 + stored.more_starts
            assert stored.starts <= allowed, f"{stored.id} started {stored.starts} times, {allowed} allowed"
