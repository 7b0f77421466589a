"""The units of one executor: starts them, hands freed cores to chained ones, signals them, ends them.

Knows no socket; what happened goes into `Reports`. Invariant: an order that was given is running, chained, or reported.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Container, Iterable, Sequence
from functools import partial
from typing import Any, Callable, NamedTuple

from pilot_agent.node.chain import Chain
from pilot_agent.node.ending import Ended, end_unit
from pilot_agent.node.lanes import LanePool
from pilot_agent.node.mpi_units import MpiUnits
from pilot_agent.node.orders import EndRecord, Order, OrderError, are_cores, never_ran, parse_order
from pilot_agent.node.reports import Reports
from pilot_agent.node.starter import Launch, Running, Starter
from pilot_agent.spawn.children import Children
from pilot_agent.spawn.failures import StartError
from pilot_agent.spawn.oom import OomWatch
from pilot_agent.spawn.process_tree import ProcessTable, kill, kill_descendants, signal_tree
from pilot_agent.spawn.reaper import Exit, reap

STRAY_CHECK_S = 0.1
"""Shortest time between two looks for processes that units left behind while other units run."""

_STRAY_CHECK_SHARE = 100
"""A look takes at most one part in this of the executor's time."""

_SIGNALS = signal.valid_signals()


class _Failure(NamedTuple):
    """A unit that could not be started, and the chained one that got its cores instead."""

    order: Order
    end: EndRecord
    successor: Launch | None


class UnitRunner:
    """Runs units for the executor that owns it."""

    def __init__(
        self,
        starter: Starter,
        lanes: LanePool,
        reports: Reports,
        mpi: MpiUnits,
        log: Callable[[str], None],
        note_begun: Callable[[Order], None],
    ) -> None:
        self._starter = starter
        self._mpi = mpi
        self._note_begun = note_begun
        self._lanes = lanes
        self._reports = reports
        self._log = log
        self._chain = Chain()
        self._oom = OomWatch()
        self._children = Children()
        self._running: dict[int, Running] = {}
        self._pids: dict[str, int] = {}
        self.stopping = False
        """Whether units that were killed, and are not reported yet, are victims of what ends this executor."""
        self.killed_s = float("-inf")
        """When a unit was last seen to be killed without having been told to end, by time.monotonic."""
        self._next_check_s = 0.0
        self.children_left = True
        """Whether any child was left, a unit's or an orphan's, when `reap` was last called."""
        self.check_due_s: float | None = None
        """When to call `end_strays`, by time.monotonic; None while there is no reason to."""

    @property
    def chained(self) -> int:
        """Number of orders that wait for cores of a unit that ends."""
        return len(self._chain)

    def start(self, orders: Iterable[object]) -> None:
        """Start or chain `orders`; one that cannot be understood is reported as rejected.

        The chained ones come first, so that they can follow even one that ends, or cannot be started, at once.
        """
        placed: dict[str, Launch] = {}
        for value in orders:
            try:
                order = parse_order(value)
                if order.id in placed or order.id in self._pids or order.id in self._chain:
                    raise OrderError(f"unit {order.id} is already here", order.id, order.attempt)
                launch = self._prepare(order)
            except OrderError as error:
                self._reject(error)
                continue
            if order.cores is None:
                self._chain.add(launch)
            else:
                placed[order.id] = launch
        for launch in placed.values():
            self._start_on(launch, launch.order.cores or [])

    def place(self, placements: Iterable[tuple[str, Any]]) -> None:
        """Start chained orders on the cores given for them. One that has started meanwhile is left as it is."""
        for unit, cores in placements:
            if not are_cores(cores):
                raise ValueError(f"cores of {unit} must be a list of core numbers, got {cores!r:.80}")
            launch = self._chain.take(unit)
            if launch is not None:
                self._start_on(launch, cores)

    def retract(self, units: Iterable[str]) -> None:
        """Give back those of `units` that are chained and have not started."""
        self._give_back([launch for unit in units if (launch := self._chain.take(unit)) is not None])

    def signal(self, requests: Sequence[tuple[str, int]]) -> None:
        """Send signals to everything that units started. A unit that is not running is passed over.

        Raises:
            ValueError: there is no signal of that number.
        """
        asked = [(self._running[self._pids[unit]], signum) for unit, signum in requests if unit in self._pids]
        if not {signum for _, signum in asked} <= _SIGNALS:
            raise ValueError(f"no such signal in {requests!r:.80}")
        doomed = {unit.order.id for unit, signum in asked if signum == signal.SIGKILL}
        milder = [(unit, signum) for unit, signum in asked if signum != signal.SIGKILL]
        for unit, _ in asked:
            unit.signaled = True
        if doomed:
            self._kill_units(doomed)
        if milder:
            table = ProcessTable.read()
            processes = self._processes(table)
            for unit, signum in milder:
                signal_tree(table, unit.pid, processes.get(unit.order.id, ()), signum)

    def reap(self) -> None:
        """Report the units that have ended and start the chained ones that follow them."""
        exits, self.children_left = reap(self._running)
        units = [self._running.pop(exit_.pid) for exit_ in exits]
        if any(exit_.code == -signal.SIGKILL and not unit.signaled for unit, exit_ in zip(units, exits)):
            self.killed_s = time.monotonic()
        for unit, exit_ in zip(units, exits):
            del self._pids[unit.order.id]
            self._end(unit, exit_)
        if exits and self.children_left:
            self._want_check(urgent=any(unit.signaled for unit in units))

    def look_for_orphans(self) -> None:
        """See whether anything is left of units that have ended; to be done before their ends are told.

        What a unit leaves is adopted before the unit can be reaped, so that one look serves all that are told together.
        """
        self._lanes.may_be_written = self._children.has_orphans(self._running)

    def end_strays(self) -> None:
        """Kill what units that have ended left behind outside of their process group."""
        self.check_due_s = None
        began_s = time.monotonic()
        kill(self._strays)
        now_s = time.monotonic()
        self._next_check_s = now_s + max(STRAY_CHECK_S, _STRAY_CHECK_SHARE * (now_s - began_s))

    def end_failed(self, now_s: float) -> None:
        """Kill MPI units of which a rank has failed and that their launcher leaves running."""
        if failed := self._mpi.look(now_s):
            self._kill_units(failed)

    def kill_all(self) -> None:
        """Kill everything below this process, and what MPI units have elsewhere on this machine, and give back all chained orders. `reap` then reports the units as lost."""
        self.stopping = True
        self._give_back(self._chain.take_all())
        kill_descendants(os.getpid())
        self._mpi.kill_all()

    def _prepare(self, order: Order) -> Launch:
        try:
            return self._starter.prepare(order, order.cores)
        except Exception as error:  # the boundary, as in _try_start
            self._log(f"prepare failed: unit={order.id} {_traceback()}")
            raise OrderError(
                f"the executor failed on this order: {error!r}", order.id, order.attempt
            ) from error

    def _reject(self, error: OrderError) -> None:
        self._log(f"order rejected: unit={error.unit!r} {error}")
        if error.unit:
            end = never_ran("rejected", str(error), time.time())
            self._reports.rejected(error.unit, error.attempt, end, time.monotonic())

    def _give_back(self, launches: Iterable[Launch]) -> None:
        self._reports.retracted([launch.order for launch in launches], time.monotonic())

    def _end(self, unit: Running, exit_: Exit) -> None:
        """Start the successor before anything else is done about the unit that ended, but report it afterwards."""
        if unit.order.mpi:
            self._mpi.ended(unit)
        now_s = time.time()
        successor = None if unit.order.alone else self._take_next(unit.order.width)
        failures = self._start_first_possible(successor, unit.cores)
        self._report_end(
            unit.order,
            lambda: end_unit(Ended(unit, exit_, now_s, self.stopping), self._lanes, self._oom.fresh_kill),
            successor,
        )
        self._report_failures(failures)

    def _take_next(self, width: int) -> Launch | None:
        """Take the chained order that starts now; nobody but this process knows which one that is."""
        launch = self._chain.next(width)
        if launch is not None:
            self._note_begun(launch.order)
        return launch

    def _start_on(self, launch: Launch, cores: list[int]) -> None:
        self._report_failures(self._start_first_possible(launch, cores))

    def _start_first_possible(self, launch: Launch | None, cores: list[int]) -> list[_Failure]:
        """Start `launch` on `cores` or, when it cannot be started, the chained one that comes next, and so on.

        Returns:
            Those that could not be started.
        """
        failures: list[_Failure] = []
        while launch is not None and (end := self._try_start(launch, cores)) is not None:
            successor = self._take_next(launch.order.width)
            failures.append(_Failure(launch.order, end, successor))
            launch = successor
        return failures

    def _try_start(self, launch: Launch, cores: list[int]) -> EndRecord | None:
        """Start `launch`; return its end when that fails, whatever the cause: one order must not end the others."""
        now = time.time()
        try:
            unit = self._starter.start(launch, cores, now)
        except StartError as failure:
            return never_ran(failure.reason, str(failure), now)
        except Exception as error:  # noqa: BLE001 - the boundary at which a mistake of ours becomes one unit's end
            self._log(f"start failed: unit={launch.order.id} {_traceback()}")
            return never_ran("rejected", f"the executor failed on this order: {error!r}", now)
        self._running[unit.pid] = unit
        self._pids[launch.order.id] = unit.pid
        if unit.order.mpi:
            self._mpi.started(unit)
        self._reports.started(launch.order, unit.pid, now, time.monotonic())
        return None

    def _report_failures(self, failures: Iterable[_Failure]) -> None:
        for order, end, successor in failures:
            self._report_end(order, partial(_same, end), successor)

    def _report_end(self, order: Order, end: Callable[[], EndRecord], successor: Launch | None) -> None:
        self._reports.ended(order, end, successor.order if successor else None, time.monotonic())

    def _want_check(self, *, urgent: bool) -> None:
        now_s = time.monotonic()
        due_s = now_s if urgent else max(now_s, self._next_check_s)
        self.check_due_s = due_s if self.check_due_s is None else min(due_s, self.check_due_s)

    def _leaders(self) -> dict[int, str]:
        return {pid: unit.order.id for pid, unit in self._running.items()}

    def _processes(self, table: ProcessTable) -> dict[str, list[int]]:
        """Return all that runs of each unit, under "" what cannot be told to belong to one."""
        processes = table.units(os.getpid(), self._leaders())
        for unit, pids in self._mpi.marked().items():
            processes[unit] = list({*processes.get(unit, ()), *pids})
        return processes

    def _kill_units(self, units: Container[str]) -> None:
        kill(
            lambda: [
                pid
                for unit, pids in self._processes(ProcessTable.read()).items()
                if unit in units
                for pid in pids
            ]
        )

    def _strays(self) -> list[int]:
        """Pids of units that have ended; while no unit runs, also those that cannot be told to belong to one."""
        return [
            pid
            for unit, pids in ProcessTable.read().units(os.getpid(), self._leaders()).items()
            if unit not in self._pids and (unit or not self._running)
            for pid in pids
        ]


def _same(end: EndRecord) -> EndRecord:
    return end


def _traceback() -> str:
    import traceback  # noqa: PLC0415 - only a mistake of ours is worth the time to import it

    return traceback.format_exc()
