"""What tests of the agent's core are made of: units, ends, and a core whose clock stands still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from pilot_agent.actions import Action, MoveRequest, Report, ReportItem, SendMoves, SendSignal, SendStart
from pilot_agent.core import AgentCore, CoreSettings
from pilot_agent.events import ClaimedUnit, Doorbell, Event, ExecutorEvents, ReportConfirmed, UnitsClaimed
from pilot_agent.node.orders import EndRecord
from pilot_agent.scheduler.placement import GPU
from pilot_agent.scheduler.slots import NodeSpec
from pilot_agent.unit_data import UnitData
from pilot_agent.unit_record import UnitRecord

A = TypeVar("A")


@dataclass(frozen=True)
class Request:
    """A unit's needs."""

    cores: int = 1
    gpus: float = 0
    memory_mb: int = 0
    ranks: int = 1
    placement: str = "pack"
    priority: int = 0
    walltime: float | None = None
    max_restarts: int = 3
    stages: bool = False
    delivers: bool = False
    keeps_failed: bool = False

    @property
    def gpu_thousandths(self) -> int:
        return int(self.gpus * GPU)

    @property
    def is_mpi(self) -> bool:
        return self.ranks > 1

    def claimed(self, unit_id: str, attempt: int) -> ClaimedUnit:
        """Return the unit as an agent's intake gives it to the core."""
        order = {"id": unit_id, "exe": "/bin/true", "env": {}}
        if not (self.stages or self.delivers):
            return ClaimedUnit(unit_id, attempt, self, order)
        inputs, outputs = (
            ({"du-i": ["*"]} if self.stages else {}),
            ({"du-o": ["out"]} if self.delivers else {}),
        )
        data = UnitData(f"/sandbox/{unit_id}", inputs, (), outputs, (), self.keeps_failed)
        order["deliver"] = data.delivery()
        return ClaimedUnit(unit_id, attempt, self, order, data)


def unit(unit_id: str, attempt: int = 1, **needs: Any) -> ClaimedUnit:
    return Request(**needs).claimed(unit_id, attempt)


def record(unit_id: str, arrival: int, **needs: Any) -> UnitRecord:
    return UnitRecord(unit(unit_id, **needs), arrival)


def end(
    code: int | None = 0, signal: int | None = None, reason: str = "", message: str = "", run_s: float = 1.0
) -> EndRecord:
    return EndRecord(
        code=code, signal=signal, reason=reason, message=message, t0=100.0, t1=100.0 + run_s, user=0.0, system=0.0,
        rss_kb=1, cwd="", out="", err="", out_file="", err_file="",
    )  # fmt: skip


class Bench:
    """A core on the test bench: a clock that the test moves, and the actions of the last event."""

    def __init__(
        self,
        cores: int = 4,
        *,
        executors: int = 1,
        gpus: int = 0,
        memory_mb: int = 0,
        nodes: int = 1,
        settings: CoreSettings | None = None,
    ) -> None:
        spec = NodeSpec(cores, gpus, memory_mb, executors)
        self.core = AgentCore([spec] * nodes, settings)
        self.now_s = 1000.0
        self.actions: list[Action] = []

    def tell(self, event: Event, after_s: float = 0.0) -> list[Action]:
        """Let an event happen; the books must agree afterwards."""
        self.now_s += after_s
        self.actions = self.core.handle(event, self.now_s)
        self.core.sanity_check()
        return self.actions

    def claimed(self, *units: ClaimedUnit) -> list[Action]:
        return self.tell(UnitsClaimed(units))

    def opened(self, *units: ClaimedUnit) -> list[Action]:
        """Ring the doorbell and answer the claim."""
        self.tell(Doorbell())
        return self.claimed(*units)

    def ended(
        self, unit_id: str, how: EndRecord | None = None, *, then: str | None = None, executor: int = 0
    ) -> list[Action]:
        attempt = self.core.table.records[unit_id].attempt
        return self.tell(ExecutorEvents(executor, ended=[[unit_id, attempt, how or end(), then]]))

    def started(self, *unit_ids: str, executor: int = 0) -> list[Action]:
        records = self.core.table.records
        return self.tell(
            ExecutorEvents(executor, started=[[name, records[name].attempt, 7, 0.0] for name in unit_ids])
        )

    def confirmed(self, outcomes: str = "") -> list[Action]:
        count = len(self.core.table.reports.under_way or ())
        return self.tell(ReportConfirmed(outcomes or "1" * count))

    def only(self, kind: type[A]) -> A:
        """Return the one action of this kind."""
        found = self.every(kind)
        assert len(found) == 1, self.actions
        return found[0]

    def every(self, kind: type[A]) -> list[A]:
        return [action for action in self.actions if isinstance(action, kind)]

    @property
    def orders(self) -> list[dict[str, Any]]:
        return [order for start in self.every(SendStart) for order in start.orders]

    @property
    def placed(self) -> dict[str, list[int] | None]:
        """Cores of the units that were sent to executors; None for chained ones."""
        return {order["id"]: order["cores"] for order in self.orders}

    @property
    def signals(self) -> list[tuple[str, int]]:
        return [signal for send in self.every(SendSignal) for signal in send.signals]

    @property
    def moves(self) -> list[MoveRequest]:
        return [request for send in self.every(SendMoves) for request in send.requests]

    @property
    def moved(self) -> list[tuple[str, str]]:
        """What the mover was asked for which units."""
        return [(request.do, request.id) for request in self.moves]

    @property
    def reported(self) -> list[ReportItem]:
        return [item for report in self.every(Report) for item in report.items]

    @property
    def letters(self) -> dict[str, str]:
        return {item.id: item.letter for item in self.reported}


SHORT = end(run_s=0.001)


def short_units_run(cores: int = 2, executors: int = 1, width: int = 1) -> Bench:
    """Return a bench on whose cores short units run, at a rate that lets more be held ahead."""
    bench = Bench(cores, executors=executors)
    first = [unit(f"run{n}", cores=width) for n in range(cores // width)]
    bench.opened(*first)
    for step in range(20):
        running = list(bench.core.table.records)
        for index, name in enumerate(running):
            executor = bench.core.table.records[name].executor
            bench.now_s += 0.005
            bench.ended(name, SHORT, executor=executor)
            bench.claimed(unit(f"run{step}.{index}", cores=width))
    while bench.core.table.reports.under_way:
        bench.confirmed()
    return bench
