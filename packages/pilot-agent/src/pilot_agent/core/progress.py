"""How units get on: taken in, started, followed by the next one, ended. Ending them early is decided elsewhere.

Events cross frames on their way; these rules settle it. ``next_id`` of an end says who has its cores now, even if that unit
was given other ones meanwhile. A retract that comes too late is not answered: the unit shows up as started.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pilot_agent.actions import ReportItem
from pilot_agent.events import ClaimedUnit, ExecutorLost, Moved
from pilot_agent.node.orders import EndRecord
from pilot_agent.scheduler.placement import Placement, rank_slots
from pilot_agent.scheduler.plan import Plan
from pilot_agent.unit_data import UnitData
from pilot_agent.unit_record import CHAINED, CONFIRMING, PLACED, SWEEPING, UnitRecord
from pilot_protocol.unit_ops import STALE, UNKNOWN

from .endings import EXECUTOR_DIED, NEVER_STARTED, refusal, unstaged
from .sweeps import Sweeps
from .termination import Termination
from .unit_table import UnitTable


class Progress:
    """Moves units on.

    Args:
        table: The units.
        termination: Ends those that must not run.
        sweeps: Ends those on several nodes.
    """

    def __init__(self, table: UnitTable, termination: Termination, sweeps: Sweeps) -> None:
        self._table = table
        self._sweeps = sweeps
        self._termination = termination
        self._arrivals = 0

    # --- coming in, starting ---

    def take_in(self, unit: ClaimedUnit, now_s: float) -> None:
        """Accept a claimed unit. A repetition is passed over; a later attempt waits until the earlier one is gone."""
        table = self._table
        known = table.records.get(unit.id)
        if known is not None:
            self._supersede(known, unit, now_s)
            return
        self._arrivals += 1
        record = UnitRecord(unit, self._arrivals)
        if self._termination.is_draining:
            table.reports.add(ReportItem(unit.id, unit.attempt, NEVER_STARTED.letter))
        elif table.scheduler.slots.fits_with_all(record.shape):
            table.records[unit.id] = record
            if unit.data is None:
                table.scheduler.add(record, now_s)
            else:
                self._take_in_data(record, unit.data, now_s)
        else:
            specs = [node.spec for node in table.scheduler.slots.nodes]
            message = refusal(unit.id, record.shape, specs)
            table.reports.add(ReportItem(unit.id, unit.attempt, "F", "rejected", message))

    def _take_in_data(self, record: UnitRecord, data: UnitData, now_s: float) -> None:
        self._table.deliveries.drop(record.id)  # of an earlier attempt, which is nobody's any more
        if data.is_staged and not self._termination.is_too_long(record, now_s):
            self._table.staging.add(record, data)
            self._table.reports.add(ReportItem(record.id, record.attempt, "S"))
        else:
            self._table.scheduler.add(record, now_s)

    def moved(self, event: Moved, now_s: float) -> None:
        """Take the mover's answer: a unit waits for cores, or is reported."""
        table = self._table
        if event.did == "out":
            table.deliveries.moved(event)
            return
        record = table.staging.find(event.unit_id, event.attempt)
        if record is None:
            return
        cause = record.cause or (unstaged(event.error) if event.error else None)
        if cause is not None:
            table.close(record, cause)
        else:
            table.staging.remove(record)
            table.scheduler.add(record, now_s)

    def _supersede(self, known: UnitRecord, unit: ClaimedUnit, now_s: float) -> None:
        newest = known.newer.attempt if known.newer is not None else known.attempt
        if unit.attempt > newest:
            known.newer = unit
            self._termination.drop(known, now_s)

    def carry_out(self, plan: Plan, now_s: float) -> None:
        """Tell the executors, and Redis where it is to be asked first, what the scheduler decided."""
        table = self._table
        for record in plan.placed:
            if record.is_once:
                record.phase = CONFIRMING
                table.reports.add_running(record)
            else:
                self._start(record, now_s)
        for record in plan.chained:
            self._send_order(record, None)
        for record in plan.recalled:
            self._termination.retract(record)
        for record in plan.released:
            record.phase = PLACED
            if record.placement is not None:
                cores = table.scheduler.slots.numbers(record.placement.cores)
                table.frames.place(record.executor, record.id, cores)
            self._watch(record, now_s)

    def _start(self, record: UnitRecord, now_s: float) -> None:
        record.phase = PLACED
        self._send_order(record, record.placement)
        self._watch(record, now_s)

    def _send_order(self, record: UnitRecord, placement: Placement | None) -> None:
        order = record.order
        if order is None:
            raise RuntimeError(f"the order of {record!r} is gone: it has started before")
        order["attempt"] = record.attempt
        order["width"], order["cores"] = record.shape.cores, None
        if placement is not None:
            self._add_placement(order, record, placement)
        self._table.frames.start(record.executor, order)

    def _add_placement(self, order: dict[str, Any], record: UnitRecord, placement: Placement) -> None:
        order["cores"] = cores = self._table.scheduler.slots.numbers(placement.cores)
        if placement.gpus:
            order["gpus"] = list(placement.gpus)
        if record.is_alone:
            order["alone"], order["width"] = True, len(cores)
        if record.is_mpi:
            order["ranks"] = [list(slot) for slot in rank_slots(placement, record.shape)]

    def _watch(self, record: UnitRecord, now_s: float) -> None:
        record.order = None
        termination = self._termination
        if record.walltime_s or record.cause is not None or termination.is_draining or termination.is_fenced:
            termination.watch(record, now_s)

    def answer(self, outcomes: str, now_s: float) -> None:
        """Take Redis's answer to the report under way: units that waited for it start.

        What runs already may come to its end although nobody knows it any more: its files are somebody's. Where the executor
        has fallen silent meanwhile, a unit does not start, and goes back when that one is lost.
        """
        for item, outcome in self._table.reports.answer(outcomes, now_s):
            self._table.deliveries.told_whose(item, outcome)
            record = self._table.records.get(item.id)
            if record is None or record.attempt != item.attempt:
                continue
            if outcome == STALE or (outcome == UNKNOWN and record.phase == CONFIRMING):
                self._termination.drop(record, now_s)
            elif record.phase == CONFIRMING and self._table.scheduler.slots.is_up(record.executor):
                if self._termination.is_fenced:
                    self._table.reports.add_running(record)
                else:
                    self._start(record, now_s)

    # --- what executors tell ---

    def started(self, executor: int, started: Iterable[Sequence[Any]], now_s: float) -> None:
        """Note units that run."""
        for unit_id, attempt, *_ in started:
            record = self._table.records.get(unit_id)
            if record is not None and record.attempt == attempt and record.executor == executor:
                self._note_running(record, now_s)

    def _note_running(self, record: UnitRecord, now_s: float) -> None:
        if not record.is_reported and record.phase == PLACED and record.cause is None:
            self._table.reports.note_running(record, now_s)

    def ended(self, executor: int, ended: Iterable[Sequence[Any]], now_s: float) -> None:
        """Report units that ended; the cores of each are free, or its successor's."""
        successors = []
        tally: dict[int, list[float]] = {}
        for unit_id, attempt, end, next_id in ended:
            record = self._ran_at(executor, unit_id, attempt)
            if record is None:
                continue
            if record.is_alone:
                self._table.scheduler.rates.note_run(1, end["t1"] - end["t0"])
            else:
                sums = tally.setdefault(record.shape.cores, [0, 0.0])
                sums[0] += 1
                sums[1] += end["t1"] - end["t0"]
            successor = self._table.records.get(next_id)
            self._close(record, end, successor)
            if successor is not None:
                successors.append(successor)
        for width, (count, run_s) in tally.items():
            self._table.scheduler.rates.note(width, int(count), run_s, now_s)
        for successor in successors:
            if successor.phase == PLACED:
                self._take_over(successor, now_s)

    def _ran_at(self, executor: int, unit_id: str, attempt: int) -> UnitRecord | None:
        record = self._table.records.get(unit_id)
        is_meant = record is not None and record.attempt == attempt and record.executor == executor
        return record if is_meant else None

    def _close(self, record: UnitRecord, end: EndRecord, successor: UnitRecord | None) -> None:
        if record.far_executors:
            self._sweeps.end(record, end)
            return
        placement = record.placement
        if successor is None:
            self._table.scheduler.vacate(record)
        else:
            self._table.scheduler.hand_over(record, successor)
        self._table.close_ended(record, end, placement)

    def _take_over(self, record: UnitRecord, now_s: float) -> None:
        if record.order is not None:
            self._watch(record, now_s)
        self._note_running(record, now_s)

    def retracted(self, executor: int, unit_ids: Iterable[str], now_s: float) -> None:
        """Take back chained units that did not start."""
        for unit_id in unit_ids:
            record = self._table.records.get(unit_id)
            if record is None or record.phase != CHAINED or record.executor != executor:
                continue
            if record.cause is not None:
                self._table.close(record, record.cause)
            elif self._termination.is_draining:
                self._table.close(record, NEVER_STARTED)
            else:
                self._table.scheduler.vacate(record)
                self._table.scheduler.add(record, now_s)

    def executor_lost(self, event: ExecutorLost, now_s: float) -> None:
        """Report what an executor leaves behind: what ran is lost, what it held ahead goes back.

        What began on the cores of a unit that ended was written down before it did.
        """
        table, executor = self._table, event.executor
        begun = {(unit_id, attempt) for unit_id, attempt, *_ in event.begun}
        self.ended(
            executor, [(unit_id, attempt, end, None) for unit_id, attempt, end, *_ in event.ended], now_s
        )
        table.frames.forget(executor)
        table.scheduler.lose_executor(executor)
        for record in [record for record in table.records.values() if record.executor == executor]:
            if record.phase == SWEEPING:
                continue
            ran = record.phase == PLACED or (record.id, record.attempt) in begun
            cause = record.cause or (EXECUTOR_DIED if ran else NEVER_STARTED)
            if ran and record.far_executors:
                record.cause = cause
                self._sweeps.end(record, None)
            else:
                table.close(record, cause)
        self._termination.lose_node(executor, now_s)
        self._sweeps.lose(executor)
