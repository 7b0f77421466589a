"""The head of an agent: carries out what the core decides, and tells it what happens. Itself it decides nothing.

One asyncio loop, no threads: frames of executors, replies of Redis, timers and signals come in as events; the core's
actions go out as frames, reports and claims.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

from pilot_protocol import pilot_ops
from pilot_protocol.errors import StateError
from pilot_protocol.unit_ops import UNKNOWN

from . import actions, events
from .config import AgentConfig
from .coordination_parts import Hooks, Parts
from .coordinator import Coordinator
from .core import AgentCore
from .executors import Executors
from .fleet import Fleet
from .job_signals import JobSignals
from .journal import DURABILITY_WINDOW_S
from .journal_keeper import Handed, JournalKeeper, journal_of
from .lrms.local import LocalNode
from .mover_link import MoverLink, greeting
from .node_names import NodeNames
from .pilot_record import sizes_of
from .recovered_ends import known_ends, reports_of
from .spawn.end_signals import END_SIGNALS
from .unit_record import CHAINED, PLACED, SWEEPING, Cause
from .way import Way

logger = logging.getLogger(__name__)

_STOP_PATIENCE_S = 3.0
_ENDS = frozenset("DFCELUH")


class Head:
    """Ties core, executors, journal and coordinator together.

    Args:
        config: The agent's settings.
        core: The decisions.
        fleet: The other nodes, those that have come.
        node: What the agent holds of this one.
        record: What the pilot's record in Redis says about this agent, beside the sizes of its nodes.
        way: How this process reaches Redis; None: straight.
    """

    def __init__(
        self,
        config: AgentConfig,
        core: AgentCore,
        fleet: Fleet,
        node: LocalNode,
        record: Mapping[str, str],
        way: Way | None = None,
    ) -> None:
        self._config, self._core, self._record = config, core, record
        self._fleet = fleet
        self._nodes = [node, *(far.node for far in fleet.nodes)]
        self._names = NodeNames(self._nodes, config.executors, config.mpi)
        kept_s = max(DURABILITY_WINDOW_S, config.lease_s)
        self._journal = JournalKeeper(journal_of(config.sandbox), self._handed, kept_s)
        is_in_job = record.get("lrms", "local") != "local"
        self._signals = JobSignals(self.dispatch, self._was_asked_to_end, is_in_job=is_in_job)
        way = way or Way(config.coordination_url)
        self._mover = MoverLink(greeting(config, way.url), config.sandbox / "mover.log", self.dispatch)
        self._executors = self._executors_of(way)
        self._coordinator: Coordinator | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._happened: deque[events.Event] = deque()
        self._came_back = Counter[tuple[str, int]]()  # how often executors have given units back, by attempt
        self._asked_s: float | None = None
        """When the report under way was made, if it holds all ends that were known."""
        self._complete_s = 0.0
        """When a report that held all ends that were known, and confirmed them, was made last."""
        self._perform: dict[type, Callable[[Any], None]] = {
            actions.SendStart: self._start,
            actions.SendPlace: self._place,
            actions.SendSignal: self._signal,
            actions.SendRetract: lambda action: self._executors.send(
                action.executor, "retract", action.unit_ids
            ),
            actions.SendSweep: lambda action: self._executors.send(action.executor, "sweep", action.sweeps),
            actions.SendMoves: lambda action: self._mover.ask(action.requests),
            actions.NoteCauses: lambda action: self._write(lambda: self._journal.note_causes(action.causes)),
            actions.Report: self._report,
            actions.Claim: lambda action: self._require_coordinator().claim(action),
            actions.WakeAt: self._wake_at,
            actions.Finish: self._finish,
        }

    def _executors_of(self, way: Way) -> Executors:
        """Return the executors; when one is lost, what keeps the way open is not taken for its, nor is the mover."""
        config = self._config
        places = (str(config.sandbox), journal_of(config.sandbox), config.lifeline_fd)

        def others() -> tuple[int, ...]:
            return (*way.pids(), *self._mover.pids())

        return Executors(*places, self._signals.take, others, self._core.table.mpi_units_on)

    def _require_coordinator(self) -> Coordinator:
        if self._coordinator is None:
            raise StateError("the core acted before the head ran")
        return self._coordinator

    def dispatch(self, event: events.Event) -> None:
        """Tell the core, and carry out what it wants; what happens on the way comes after it."""
        self._happened.append(event)
        if len(self._happened) > 1:
            return
        while self._happened:
            event = self._happened[0]
            if isinstance(event, events.ExecutorEvents):
                self._note_moves(event)
            for action in self._core.handle(event, asyncio.get_running_loop().time()):
                self._perform[type(action)](action)
            self._happened.popleft()

    async def run(self, instance: str, parts: Parts) -> None:
        """Serve the pilot until it has ended.

        Raises:
            PilotError: As :meth:`Coordinator.run`.
        """
        recovery = self._journal.recover()
        hooks = Hooks(
            self.dispatch,
            self._core.held,
            self._mover.know,
            self._mover.serve,
            self._confirmed,
            self._said_lately,
            self._status,
        )
        self._coordinator = Coordinator(self._config, instance, parts, hooks)
        tasks = [
            asyncio.ensure_future(self._coordinator.run()),
            asyncio.ensure_future(self._coordinator.listen()),
            self._watch_callbacks(),
        ]
        try:
            self._executors.start(self._config.executors, self._fleet)
            for number in END_SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, self._terminate)
            self.dispatch(events.ReportsFound(reports_of(recovery)))
            await _first_of(tasks)
        finally:
            for task in tasks:
                task.cancel()
            self._coordinator.close()
            await self._mover.stop(_STOP_PATIENCE_S)
            await self._executors.stop(_STOP_PATIENCE_S)
            await parts.link.close()
            self._journal.close()

    @staticmethod
    def _watch_callbacks() -> asyncio.Future[None]:
        """Return what fails as soon as a callback does: of a half-done event nobody knows what became of the units."""
        loop = asyncio.get_running_loop()
        broken: asyncio.Future[None] = loop.create_future()

        def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            loop.default_exception_handler(context)
            if "handle" in context and not broken.done():
                broken.set_exception(context["exception"])

        loop.set_exception_handler(note)
        return broken

    def _note_moves(self, event: events.ExecutorEvents) -> None:
        """Write down what a head that comes after this one must know of chained units: back, or begun and still running."""
        records = self._core.table.records
        for name in event.retracted:
            record = records.get(name)
            if record is not None:
                self._came_back[name, record.attempt] += 1
        begun = [records.get(name) for name, *_ in event.started]
        chained = [record for record in begun if record is not None and record.phase == CHAINED]
        if chained:
            self._note_starts(
                self._hand_over(record.id, record.attempt, is_chained=False) for record in chained
            )

    def _note_starts(self, units: Iterable[Handed]) -> None:
        self._write(lambda: self._journal.note_starts(units))

    def _hand_over(self, name: str, attempt: int, *, is_chained: bool) -> Handed:
        return Handed(name, attempt, 1 + self._came_back.get((name, attempt), 0), is_chained)

    def _handed(self) -> list[Handed]:
        return [
            self._hand_over(record.id, record.attempt, is_chained=record.phase == CHAINED)._replace(
                cause=record.cause
            )
            for record in self._core.table.records.values()
            if record.phase in (CHAINED, PLACED, SWEEPING)
        ]

    def _terminate(self) -> None:
        self.dispatch(events.StopRequested(reason="terminated", unit_reason="walltime"))
        self._signals.release()
        self._require_coordinator().hurry()

    def _was_asked_to_end(self, name: str) -> bool:
        record = self._core.table.records.get(name)
        return record is None or record.cause is not None

    def _start(self, action: actions.SendStart) -> None:
        self._note_starts(
            self._hand_over(order["id"], order["attempt"], is_chained=order["cores"] is None)
            for order in action.orders
        )
        for order in action.orders:
            self._names.complete(action.executor, order)
        self._executors.send(action.executor, "start", action.orders)

    def _place(self, action: actions.SendPlace) -> None:
        records = self._core.table.records
        placed = [records[name] for name, _ in action.places if name in records]
        self._note_starts(self._hand_over(record.id, record.attempt, is_chained=False) for record in placed)
        places = [(name, self._names.cpus(action.executor, cores)) for name, cores in action.places]
        self._executors.send(action.executor, "place", places)

    def _signal(self, action: actions.SendSignal) -> None:
        self._write(lambda: self._journal.note_causes(self._causes_of(action)))
        self._executors.send(action.executor, "signal", action.signals)

    def _causes_of(self, action: actions.SendSignal) -> list[tuple[str, int, Cause]]:
        records = [self._core.table.records.get(name) for name, _ in action.signals]
        return [(record.id, record.attempt, record.cause) for record in records if record and record.cause]

    def _write(self, note: Callable[[], None]) -> None:
        """A journal that cannot be written is no reason to stop; it is missed only if the agent dies as well."""
        try:
            note()
        except OSError as error:
            logger.error("journal.failed %s", error, extra={"action": "journal.failed"})

    def _report(self, action: actions.Report) -> None:
        reports = self._core.table.reports
        is_complete = not reports.outbox and not reports.held_back
        # What is being delivered is not reported yet, and all that ended after it may stand beside it in the journal.
        oldest_s = self._core.table.deliveries.oldest_s
        self._asked_s = min(asyncio.get_running_loop().time(), oldest_s) if is_complete else None
        self._require_coordinator().report(action)

    def _confirmed(self, items: Sequence[actions.ReportItem], outcomes: str) -> None:
        if self._asked_s is not None and UNKNOWN not in outcomes:
            self._complete_s = self._asked_s
        ended = [
            (item.id, item.attempt)
            for item, outcome in zip(items, outcomes)
            if item.letter in _ENDS and outcome != UNKNOWN
        ]
        if ended:
            for unit in ended if self._came_back else ():
                self._came_back.pop(unit, None)
            self._write(lambda: self._journal.note_confirmed(ended))
            now_s = asyncio.get_running_loop().time()
            self._write(lambda: self._journal.remove_old(self._complete_s, now_s))

    def _said_lately(self) -> list[actions.ReportItem]:
        recovery = self._journal.recover()
        return known_ends(recovery.confirmed, recovery)

    def _status(self) -> dict[str, str]:
        lost = self._executors.lost_nodes()
        present = [node.name for node in self._nodes if node.name not in lost]
        unit_s = self._core.scheduler.rates.unit_s
        return {
            **self._record,
            **sizes_of(self._core.capacity(), present),
            "free_cores": str(self._core.free_cores),
            **({} if unit_s is None else {"unit_s": f"{unit_s:.6g}"}),
        }

    def _wake_at(self, action: actions.WakeAt) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(action.at_s, self.dispatch, events.Tick())

    def _finish(self, action: actions.Finish) -> None:
        logger.info("pilot.ended %s %s", action.state, action.reason, extra={"action": "pilot.ended"})
        self._require_coordinator().end(pilot_ops.PilotEnd(action.state, action.reason))


async def _first_of(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Wait until one task ends; an error of any is raised here."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
