"""A small world around the agent's core: a Redis, executors that keep the rules of the frames, and everything between
them delayed at will. It knows what really happens (who runs on which core), and objects at once when that is wrong.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Optional

from core_builders import Request, end

from pilot_agent.actions import (
    Action,
    Claim,
    Finish,
    Report,
    ReportItem,
    SendPlace,
    SendRetract,
    SendSignal,
    SendStart,
    WakeAt,
)
from pilot_agent.core import AgentCore, CoreSettings
from pilot_agent.events import (
    CancelRequested,
    ClaimedUnit,
    Doorbell,
    Event,
    ExecutorEvents,
    ExecutorLost,
    ExecutorUp,
    Fenced,
    LeaseEnded,
    LinkBack,
    ReportConfirmed,
    Tick,
    UnitsClaimed,
)
from pilot_agent.scheduler.slots import NodeSpec

FINAL = ("D", "F", "C")


@dataclass
class StoredUnit:
    """What Redis knows of a unit, and how often it really started."""

    id: str
    request: Request
    order: int
    state: str = "N"
    attempt: int = 0
    is_held: bool = False
    restarts: int = 3
    retries: int = 0
    is_canceled: bool = False
    starts: int = 0
    more_starts: int = 0
    """For which there was a reason: its run was cut off, a retry was due, or Redis could not know yet that it ran."""


class StoredUnits:
    """The scripts of Redis, as far as one pilot sees them."""

    def __init__(self) -> None:
        self.units: dict[str, StoredUnit] = {}
        self.is_hungry = False

    def submit(self, request: Request, retries: int = 0) -> StoredUnit:
        number = len(self.units)
        stored = StoredUnit(f"cu-x-{number}", request, number, restarts=request.max_restarts, retries=retries)
        self.units[stored.id] = stored
        return stored

    def claim(self, claim: Claim) -> list[ClaimedUnit]:
        budget, reserve = claim.cores, claim.reserve
        taken: list[ClaimedUnit] = []
        ready = sorted(
            (stored for stored in self.units.values() if stored.state == "N"),
            key=lambda stored: (-stored.request.priority, stored.order),
        )
        for stored in ready:
            if len(taken) == claim.want or budget <= 0:
                break
            if stored.request.cores > budget:
                if not reserve:
                    continue
                reserve = 0
            else:
                budget -= stored.request.cores
            stored.attempt += 1
            stored.state, stored.is_held = "A", True
            taken.append(ClaimedUnit(stored.id, stored.attempt, stored.request, {"id": stored.id}))
        self.is_hungry = len(taken) < claim.want
        return taken

    def report(self, items: Any) -> str:
        return "".join(self._apply(item) for item in items)

    def _apply(self, item: ReportItem) -> str:
        stored = self.units.get(item.id)
        if stored is None:
            return "3"
        is_mine = stored.is_held and stored.attempt == item.attempt
        if stored.state in FINAL:
            return "2" if stored.attempt == item.attempt else "0"
        if stored.attempt != item.attempt or (stored.state == "N" and item.letter not in ("D", "F", "C", "E")):
            return "0"
        if not is_mine and stored.state != "N":
            return "0"
        if item.letter == "R":
            if stored.state == "R":
                return "2"
            stored.state = "R"
            return "1"
        self._settle(stored, item.letter)
        return "1"

    def _settle(self, stored: StoredUnit, letter: str) -> None:
        stored.is_held = False
        if letter == "U":
            self._requeue(stored)
        elif letter == "L" and stored.restarts:
            stored.restarts -= 1
            stored.more_starts += 1
            self._requeue(stored)
        elif letter == "E" and stored.retries:
            stored.retries -= 1
            stored.more_starts += 1
            self._requeue(stored)
        else:
            self.conclude(stored, "F" if letter in ("L", "E") else letter)

    def _requeue(self, stored: StoredUnit) -> None:
        if stored.is_canceled:
            self.conclude(stored, "C")
        else:
            stored.state = "N"

    def conclude(self, stored: StoredUnit, letter: str) -> None:
        assert stored.state not in FINAL, f"{stored} ended twice"
        stored.state = letter

    def cancel(self, stored: StoredUnit) -> bool:
        """Return whether the agent is to be told."""
        if stored.state in FINAL:
            return False
        stored.is_canceled = True
        if stored.state == "N":
            self.conclude(stored, "C")
            return False
        return True

    def expire_lease(self) -> None:
        """Give away all that the pilot holds, as a sweep does."""
        for stored in self.units.values():
            if stored.is_held:
                stored.is_held = False
                if stored.state == "R":
                    self._settle(stored, "L")
                else:
                    stored.more_starts += 1
                    self._requeue(stored)

    def sync(self, held: list[tuple[str, int]]) -> list[str]:
        kept = set()
        for unit_id, attempt in held:
            stored = self.units[unit_id]
            if stored.is_held and stored.attempt == attempt:
                kept.add(unit_id)
        for stored in self.units.values():
            if stored.is_held and stored.id not in kept:
                stored.is_held = False
                self._requeue(stored)
        return [unit_id for unit_id, _ in held if unit_id not in kept]


@dataclass
class RunningUnit:
    """A process of an executor."""

    attempt: int
    cores: list[int]
    is_doomed: bool = False


@dataclass
class SimulatedExecutor:
    """Starts, hands cores on and tells, as an executor does."""

    world: World
    inbox: deque[Action] = field(default_factory=deque)
    chained: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: dict[str, RunningUnit] = field(default_factory=dict)
    unflushed: list[str] = field(default_factory=list)
    ended: list[list[Any]] = field(default_factory=list)
    retracted: list[str] = field(default_factory=list)
    is_up: bool = True

    def read(self) -> None:
        """Obey the next frame."""
        frame = self.inbox.popleft()
        if isinstance(frame, SendStart):
            for order in frame.orders:
                if order["cores"] is None:
                    self.chained[order["id"]] = dict(order)
                else:
                    self._run(order, order["cores"])
        elif isinstance(frame, SendPlace):
            for unit_id, cores in frame.places:
                if unit_id in self.chained:
                    self._run(self.chained.pop(unit_id), cores)
        elif isinstance(frame, SendRetract):
            for unit_id in frame.unit_ids:
                if self.chained.pop(unit_id, None) is not None:
                    self.retracted.append(unit_id)
        elif isinstance(frame, SendSignal):
            for unit_id, number in frame.signals:
                self._signal(unit_id, number)

    def _signal(self, unit_id: str, number: int) -> None:
        if unit_id not in self.running:
            return
        if number == 9:
            self.end(unit_id, code=None, signal=9)
        else:
            self.running[unit_id].is_doomed = True

    def _run(self, order: dict[str, Any], cores: list[int]) -> None:
        self.world.note_start(order["id"], order["attempt"], cores)
        assert len(cores) == order["width"]
        self.running[order["id"]] = RunningUnit(order["attempt"], list(cores))
        self.unflushed.append(order["id"])

    def end(self, unit_id: str, code: Optional[int] = 0, signal: Optional[int] = None, run_s: float = 0.001) -> None:
        """Reap a unit and start the next one of its width."""
        process = self.running.pop(unit_id)
        width = len(process.cores)
        heir = next((order for order in self.chained.values() if order["width"] == width), None)
        if heir is not None:
            del self.chained[heir["id"]]
            self._run(heir, process.cores)
        reason = "signal" if signal else "exit" if code else ""
        how = end(code, signal, reason, run_s=run_s)
        self.ended.append([unit_id, process.attempt, how, heir["id"] if heir else None])

    def flush(self) -> Optional[ExecutorEvents]:
        """Return what the head does not know yet."""
        if not (self.unflushed or self.ended or self.retracted):
            return None
        started = [[name, self.running[name].attempt, 7, 0.0] for name in self.unflushed if name in self.running]
        event = ExecutorEvents(self.world.executors.index(self), started, self.ended, self.retracted)
        self.unflushed, self.ended, self.retracted = [], [], []
        return event


class World:
    """Core, Redis and executors. Nothing happens by itself."""

    def __init__(self, cores: int, executors: int, overtakes: int = 3, gpus: int = 2) -> None:
        self.core = AgentCore(
            [NodeSpec(cores, gpus, 1000, executors)], CoreSettings(grace_s=1.0, most_overtakes=overtakes)
        )
        self.redis = StoredUnits()
        self.executors = [SimulatedExecutor(self) for _ in range(executors)]
        self.way_up: list[deque[ExecutorEvents]] = [deque() for _ in range(executors)]
        self.claim: Optional[Claim] = None
        self.report: Optional[Report] = None
        self.finish: Optional[Finish] = None
        self.wake_s: Optional[float] = None
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
        if isinstance(action, (SendStart, SendPlace, SendSignal, SendRetract)):
            assert self.executors[action.executor].is_up, f"{action} to a lost executor"
            self.executors[action.executor].inbox.append(action)
        elif isinstance(action, Claim):
            assert self.claim is None, "two claims under way"
            assert action.want > 0
            assert action.cores > 0
            self.claim = action
        elif isinstance(action, Report):
            assert self.report is None, "two reports under way"
            assert 0 < len(action.items) <= 500
            self.report = action
        elif isinstance(action, WakeAt):
            self.wake_s = action.at_s
        else:
            self.finish = action

    def note_start(self, unit_id: str, attempt: int, cores: list[int]) -> None:
        """Object if a core is taken, or if another attempt of the unit runs."""
        busy = [core for executor in self.executors for unit in executor.running.values() for core in unit.cores]
        assert not set(busy) & set(cores), f"{unit_id} starts on a core that is taken"
        assert all(unit_id not in executor.running for executor in self.executors), f"{unit_id} runs twice"
        stored = self.redis.units[unit_id]
        stored.starts += 1
        if stored.request.max_restarts == 0:
            assert stored.starts == 1, f"{unit_id} started more than once"
            assert stored.state != "A", f"{unit_id} started before Redis knew"
        assert attempt <= stored.attempt
        self.starts.append(unit_id)

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

    def deliver(self, index: int) -> None:
        if self.way_up[index]:
            self.tell(self.way_up[index].popleft())

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

    def lose(self, index: int) -> None:
        """Kill an executor. Its journal has every end that it has not told."""
        executor = self.executors[index]
        self.flush(index)
        journal = [entry[:3] for event in self.way_up[index] for entry in event.ended]
        self.way_up[index].clear()
        self.executors[index] = SimulatedExecutor(self, is_up=False)
        executor.running.clear()
        self.tell(ExecutorLost(index, journal))

    def revive(self, index: int) -> None:
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
            while self.way_up[index]:
                self.deliver(index)
        self.answer_report()
        self.answer_claim()
        self.pass_time(0.05)

    def run_out(self, most_turns: int = 3000) -> None:
        """Let time pass until every unit has ended."""
        self.mend()
        for _ in range(most_turns):
            if all(stored.state in FINAL for stored in self.redis.units.values()) and not self.core.table.records:
                break
            self.turn()
        while self.report is not None:
            self.answer_report()
        states = {stored.id: stored.state for stored in self.redis.units.values() if stored.state not in FINAL}
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
        assert not any(stored.is_held for stored in self.redis.units.values()) or self.claim is not None
        self.check_end()

    def mend(self) -> None:
        if self.is_fenced:
            self.reconnect()
        for index, executor in enumerate(self.executors):
            if not executor.is_up:
                self.revive(index)

    def check_end(self) -> None:
        """Nothing is left over, and no unit started more often than there were reasons for."""
        assert self.core.free_cores == self.core.scheduler.slots.nodes[0].spec.cores
        assert self.core.table.reports.is_empty
        assert not self.core.held()
        for stored in self.redis.units.values():
            allowed = 1 + stored.more_starts
            assert stored.starts <= allowed, f"{stored.id} started {stored.starts} times, {allowed} allowed"
