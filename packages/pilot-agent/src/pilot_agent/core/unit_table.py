"""All units that an agent holds, and the ways out of it. How they get on is decided in the modules above.

Invariant: every unit in ``records`` is in the one place that its phase names, and is reported exactly once when it leaves,
unless it is another pilot's by then.
"""

from __future__ import annotations

from itertools import chain

from pilot_agent.actions import Action, ReportItem
from pilot_agent.events import ClaimedUnit
from pilot_agent.node.orders import EndRecord
from pilot_agent.scheduler.placement import Placement
from pilot_agent.scheduler.scheduler import Scheduler
from pilot_agent.unit_record import GONE, STAGING, Cause, UnitRecord

from .deadlines import Deadlines
from .deliveries import Deliveries
from .endings import judge
from .frames import Frames
from .moves import Moves
from .reports import Reports
from .staging import Staging


class UnitTable:
    """The units, and everything that knows of them.

    Args:
        scheduler: Their slots.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.records: dict[str, UnitRecord] = {}
        self.scheduler = scheduler
        self.frames = Frames()
        self.reports = Reports(scheduler.slots)
        self.deadlines = Deadlines()
        self.moves = Moves()
        self.staging = Staging(self.moves)
        self.deliveries = Deliveries(self.moves, self.reports)
        self._superseding: list[ClaimedUnit] = []

    def forget(self, record: UnitRecord) -> None:
        """Remove a unit that holds no slot any more and of which nothing is left to say."""
        del self.records[record.id]
        record.phase = GONE
        record.order = None
        if record.is_reported:
            self.reports.forget(record)
        if record.timers:
            self.deadlines.forget(record)
        if record.data is not None:
            self.moves.release(record.id, record.attempt)
        if record.newer is not None:
            self._superseding.append(record.newer)

    def close(self, record: UnitRecord, cause: Cause) -> None:
        """Remove a unit, with whatever it holds, and report why."""
        placement = record.placement
        if record in self.scheduler.queue:
            self.scheduler.remove_waiting(record)
        elif record.phase == STAGING:
            self.staging.remove(record)
        else:
            self.scheduler.vacate(record)
        if cause.letter:
            cores, nodes = self._where(placement)
            item = ReportItem(
                record.id, record.attempt, cause.letter, cause.reason, cause.message, None, cores, nodes
            )
            self.reports.add(item)
        self.forget(record)

    def close_ended(self, record: UnitRecord, end: EndRecord, placement: Placement | None) -> None:
        """Remove a unit that ended on ``placement``, which it does not hold any more, and report how.

        Where output is to be moved out, that comes first.
        """
        cause = record.cause
        if cause is None or cause.letter:
            cores, nodes = self._where(placement)
            letter, reason, message = judge(end, cause)
            item = ReportItem(record.id, record.attempt, letter, reason, message, end, cores, nodes)
            if record.data is not None and self.deliveries.take_in(item):
                self.reports.tell_ran(record)
                record.data = None  # the delivery looks after it now
            else:
                self.reports.add(item)
        self.forget(record)

    def take_actions(self) -> list[Action]:
        """Return what executors and mover are to be told, and the journal before anything is reported."""
        return [*self.frames.take(), *self.moves.take(), *self.deliveries.take_causes()]

    @property
    def is_empty(self) -> bool:
        """Whether no unit is here, be it on its way to its end only."""
        return not self.records and not len(self.deliveries)

    def take_superseding(self) -> list[ClaimedUnit]:
        """Return, once, the units whose earlier attempt is gone now."""
        units, self._superseding = self._superseding, []
        return units

    def held(self) -> list[tuple[str, int]]:
        """Return unit and attempt of everything that is here or that Redis has not confirmed, the latest of each."""
        held: dict[str, int] = {}
        for item in chain(self.reports.pending(), self.deliveries.items()):
            held[item.id] = max(item.attempt, held.get(item.id, 0))
        for record in self.records.values():
            attempt = record.attempt if record.newer is None else record.newer.attempt
            held[record.id] = max(attempt, held.get(record.id, 0))
        return list(held.items())

    def mpi_units_on(self, executor: int) -> set[tuple[str, str]]:
        """Return unit and attempt, as text, of each MPI unit whose launcher an executor has."""
        records = self.records.values()
        return {
            (record.id, str(record.attempt))
            for record in records
            if record.is_mpi and record.executor == executor
        }

    def _where(self, placement: Placement | None) -> tuple[str, tuple[int, ...]]:
        return ("", ()) if placement is None else (self.scheduler.slots.texts(placement), placement.nodes)
