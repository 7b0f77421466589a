"""MPI units on several nodes: when their launcher has ended, their other nodes see to it that no rank is left.

A launcher starts ranks on other nodes in ways of its own (ssh, srun, daemons), so that they are nobody's children there.
The executor of each of those nodes finds them by what their environment says, ends them, and answers. Until all have
answered, the unit keeps its cores and is not told to have ended: it never runs beside its former self. A node that fell
silent cannot be asked, and its ranks may still run: it has answered when it counts as lost, since they are dead by then.

The head's node is the first of each unit that has ranks there, so that it is never one of the others.

Invariant: a unit is SWEEPING as long as an answer of a node is missing on which something may be left of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pilot_agent.node.orders import EndRecord
from pilot_agent.unit_record import SWEEPING, UnitRecord

from .endings import EXECUTOR_DIED, NODE_LOST, SIGKILL, judge
from .unit_table import UnitTable


class Sweeps:
    """Asks for sweeps and waits for the answers.

    Args:
        table: The units.
    """

    def __init__(self, table: UnitTable) -> None:
        self._table = table
        self._silent: set[int] = set()
        """Executors that fell silent and are not lost yet."""

    def end(self, record: UnitRecord, end: EndRecord | None) -> None:
        """Let a unit end that is over on its first node; ``end`` is None when nobody knows how."""
        record.phase = SWEEPING
        record.end = end
        self.kill(record)
        self._settle(record)

    def kill(self, record: UnitRecord) -> None:
        """Kill what is of a unit on its other nodes."""
        for executor in record.far_executors:
            if executor in self._silent:
                record.sweeps.setdefault(executor, 1)
            elif self._table.scheduler.slots.is_up(executor):
                record.sweeps[executor] = record.sweeps.get(executor, 0) + 1
                self._table.frames.sweep(executor, record.id, record.attempt, SIGKILL)

    def swept(self, executor: int, unit_ids: Iterable[str]) -> None:
        """Take the answers of an executor."""
        for unit_id in unit_ids:
            record = self._table.records.get(unit_id)
            if record is not None and executor in record.sweeps:
                record.sweeps[executor] -= 1
                if not record.sweeps[executor]:
                    del record.sweeps[executor]
                self._settle(record)

    def fall_silent(self, executor: int) -> None:
        """Ask nothing of an executor until it is lost."""
        self._silent.add(executor)

    def lose(self, executor: int) -> None:
        """Expect no answer of an executor any more; what was left on its node has been ended.

        A launcher may see that a node is lost long before its head does: an end that looks like the unit's own failure
        is then that of the node.
        """
        self._silent.discard(executor)
        for record in [record for record in self._table.records.values() if executor in record.sweeps]:
            del record.sweeps[executor]
            if record.cause is None and record.end is not None and judge(record.end, None).letter == "E":
                record.cause = NODE_LOST
            self._settle(record)

    def _settle(self, record: UnitRecord) -> None:
        if record.phase != SWEEPING or record.sweeps:
            return
        placement, end = record.placement, record.end
        if end is None:
            self._table.close(record, record.cause or EXECUTOR_DIED)
        else:
            self._table.scheduler.vacate(record)
            self._table.close_ended(record, end, placement)
