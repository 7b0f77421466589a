"""Ending units before they end by themselves: cancel, walltime, drain, stop, a lost lease.

What runs gets SIGTERM and, after the grace, SIGKILL; why it was told so outweighs how it then ends. What an executor holds
ahead is asked back, and dealt with when the executor answers, or when it turns out to have started. A signal follows the
start of its unit on the same connection, so it never comes too early. A unit whose input is on its way ends when the mover has
answered that it has stopped, or has not answered within the grace.
"""

from __future__ import annotations

import math

from pilot_agent.unit_record import CHAINED, PLACED, STAGING, SWEEPING, Cause, UnitRecord

from .deadlines import ABANDON, GIVE_BACK, KILL, WALLTIME
from .endings import (
    CANCELED,
    DROPPED,
    LEASE_LOST,
    NEVER_STARTED,
    NODE_LOST,
    NOT_HERE,
    SIGKILL,
    SIGTERM,
    out_of_time,
)
from .sweeps import Sweeps
from .unit_table import UnitTable


class Termination:
    """Ends units.

    Args:
        table: The units.
        sweeps: Kills what units have on other nodes.
        grace_s: Time between SIGTERM and SIGKILL.
        stop_s: When everything is told to end because the pilot's walltime does.
    """

    def __init__(self, table: UnitTable, sweeps: Sweeps, grace_s: float, stop_s: float = math.inf) -> None:
        self._table = table
        self._sweeps = sweeps
        self._grace_s = grace_s
        self._stop_s = stop_s
        self.is_draining = False
        """True: what has not started goes back to Redis."""
        self.is_fenced = False
        """True: the lease may have ended; nothing may run."""
        self._stop_cause: Cause | None = None

    def is_too_long(self, record: UnitRecord, now_s: float) -> bool:
        """Tell whether a unit could not end before the pilot does, if it started now. Later it could even less."""
        return record.walltime_s > self._stop_s - now_s

    def cancel(self, unit_id: str, now_s: float) -> None:
        """End a unit as canceled; an unknown one may have ended just now."""
        record = self._table.records.get(unit_id)
        if record is not None:
            self._end(record, CANCELED, now_s)
        else:
            self._table.deliveries.cancel(unit_id, now_s + self._grace_s)

    def drop(self, record: UnitRecord, now_s: float) -> None:
        """End a unit that is another pilot's now: at once, without a report."""
        self._end(record, DROPPED, now_s)

    def _end(self, record: UnitRecord, cause: Cause, now_s: float) -> None:
        if record.phase == PLACED:
            self._end_run(record, cause, now_s)
        elif record.phase == CHAINED:
            record.cause = _weightier(record.cause, cause)
            self.retract(record)
        elif record.phase == SWEEPING:
            record.cause = _weightier(record.cause, cause)
        elif record.phase == STAGING:
            self._call_off(record, cause, now_s)
        else:
            self._table.close(record, cause)

    def _call_off(self, record: UnitRecord, cause: Cause, now_s: float) -> None:
        record.cause = _weightier(record.cause, cause)
        if not record.is_told_to_end:
            record.is_told_to_end = True
            self._table.staging.call_off(record)
            self._table.deadlines.add(now_s + self._grace_s, ABANDON, record)

    def retract(self, record: UnitRecord) -> None:
        """Ask for a chained unit, unless that was done before."""
        if not record.is_retracting:
            self._table.scheduler.chains.retract(record)
            self._table.frames.retract(record.executor, record.id)

    def _hand_back(self, record: UnitRecord, now_s: float) -> None:
        """Give a unit that does not run back to Redis."""
        if record.phase == CHAINED:
            self.retract(record)
        elif record.phase == STAGING:
            self._call_off(record, NEVER_STARTED, now_s)
        elif record.phase not in (PLACED, SWEEPING):
            self._table.close(record, NEVER_STARTED)

    def _end_run(self, record: UnitRecord, cause: Cause, now_s: float) -> None:
        record.cause = _weightier(record.cause, cause)
        if cause.is_hard:
            self._kill(record)
        elif not record.is_told_to_end:
            self._table.frames.signal(record.executor, record.id, SIGTERM)
            self._table.deadlines.add(now_s + self._grace_s, KILL, record)
        record.is_told_to_end = True

    def lose_node(self, executor: int, now_s: float) -> None:
        """End units that ran on the node of an executor among others."""
        for record in self._table.records.values():
            if record.phase == PLACED and executor in record.far_executors:
                self._end_run(record, NODE_LOST, now_s)

    def _kill(self, record: UnitRecord) -> None:
        self._table.frames.signal(record.executor, record.id, SIGKILL)
        if record.far_executors:
            self._sweeps.kill(record)

    def watch(self, record: UnitRecord, now_s: float) -> None:
        """See to it that a unit which starts now ends in time; at once if nothing should run any more."""
        cause = record.cause or (LEASE_LOST if self.is_fenced else self._stop_cause)
        if cause is not None:
            self._end_run(record, cause, now_s)
        elif record.walltime_s:
            self._table.deadlines.add(now_s + record.walltime_s, WALLTIME, record)

    def expire(self, now_s: float) -> None:
        """Do what is due."""
        for kind, record in self._table.deadlines.due(now_s):
            if kind == GIVE_BACK:
                self._table.close(record, NOT_HERE)
            elif kind == ABANDON:
                self._abandon(record)
            elif record.phase == SWEEPING:
                continue
            elif kind == KILL:
                self._kill(record)
            elif record.cause is None:
                self._end_run(record, out_of_time(record), now_s)

    def _abandon(self, record: UnitRecord) -> None:
        if record.phase == STAGING and record.cause is not None:
            self._table.close(record, record.cause)

    def drain(self, now_s: float) -> None:
        """Start nothing more; what has not started goes back. What has ended is delivered."""
        self.is_draining = True
        for record in list(self._table.records.values()):
            self._hand_back(record, now_s)

    def stop(self, cause: Cause, now_s: float) -> None:
        """Start nothing more and end what runs; what has ended has the grace to be delivered."""
        self.drain(now_s)
        self._stop_cause = cause
        self._table.deliveries.stop(cause, now_s + self._grace_s)
        for record in self._table.records.values():
            if record.phase == PLACED:
                self._end_run(record, cause, now_s)

    def fence(self, now_s: float) -> None:
        """Kill what runs; nothing starts until the lease is known to hold."""
        self.is_fenced = True
        for record in self._table.records.values():
            if record.phase == PLACED:
                self._end_run(record, LEASE_LOST, now_s)
            elif record.phase == CHAINED:
                self.retract(record)


def _weightier(old: Cause | None, new: Cause) -> Cause:
    """Return the cause that counts: that it is another pilot's, else that the user canceled it, else the first one."""
    if old is None or not new.letter or (new.letter == CANCELED.letter and old.letter):
        return new
    return old
