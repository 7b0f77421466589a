"""The units of one executor: starts them, hands freed cores to chained ones, signals them, ends them.

Knows no socket; what happened goes into `Reports`. Invariant: an order that was given is running, chained, or reported.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Callable, NamedTuple

from pilot_agent.node.chain import Chain
from pilot_agent.node.ending import Ended, end_unit
from pilot_agent.node.lanes import LanePool
from pilot_agent.node.mpi_units import MpiUnits
from pilot_agent.node.orders import EndRecord, Order, OrderError, are_cores, never_ran, parse_order
from pilot_agent.node.reports import Reports
from pilot_agent.node.starter import Launch, Running, Starter
from pilot_agent.node.stray_checks import StrayChecks
from pilot_agent.node.unit_processes import UnitProcesses
from pilot_agent.spawn.children import Children
from pilot_agent.spawn.failures import StartError
from pilot_agent.spawn.oom import OomWatch
from pilot_agent.spawn.process_tree import kill_descendants
from pilot_agent.spawn.reaper import reap

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
        self._processes = UnitProcesses(self._running, mpi)
        self._pids: dict[str, int] = {}
        self.stopping = False
        """Whether units that were killed, and are not reported yet, are victims of what ends this executor."""
        self._held: deque[tuple[float, Ended]] = deque()
        """Units that were killed and are not released, and when they were seen to be."""
        self._checks = StrayChecks()
        self.children_left = True
        """Whether any child was left, a unit's or an orphan's, when `reap` was last called."""

    @property
    def chained(self) -> int:
        """Number of orders that wait for cores of a unit that ends."""
        return len(self._chain)

    @property
    def held_since_s(self) -> float | None:
        """When the first unit that waits for `release` was seen to be killed, by time.monotonic; None without any."""
        return self._held[0][0] if self._held else None

    @property
    def check_due_s(self) -> float | None:
        """When to call `end_strays`, by time.monotonic; None while there is no reason to."""
        return self._checks.due_s

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
            self._processes.kill(doomed)
        if milder:
            self._processes.signal(milder)

    def reap(self) -> None:
        """Report the units that have ended and start the chained ones that follow them.

        Those that were killed without having been told to end wait for `release`, and what would follow them, too.
        """
        exits, self.children_left = reap(self._running)
        now_s = time.time()
        all_ended = [Ended(self._running.pop(exit_.pid), exit_, now_s) for exit_ in exits]
        for ended in all_ended:
            del self._pids[ended.unit.order.id]
            if ended.unit.order.mpi:
                self._mpi.ended(ended.unit)
            if ended.never_began and self._start_again(ended):
                continue
            if ended.was_killed and not self.stopping:
                self._held.append((time.monotonic(), ended))
            else:
                self._end(ended)
        if exits and self.children_left:
            self._checks.want(urgent=any(ended.unit.signaled for ended in all_ended))

    def release(self, until_s: float) -> None:
        """Report units that were seen to be killed up to a moment of time.monotonic, and start what follows them."""
        while self._held and self._held[0][0] <= until_s:
            self._end(self._held.popleft()[1])

    def look_for_orphans(self) -> None:
        """See whether anything is left of units that have ended; to be done before their ends are told.

        What a unit leaves is adopted before the unit can be reaped, so that one look serves all that are told together.
        """
        self._lanes.may_be_written = self._children.has_orphans(self._running)

    def end_strays(self) -> None:
        """Kill what units that have ended left behind outside of their process group."""
        self._checks.run(self._processes.kill_strays)

    def end_failed(self, now_s: float) -> None:
        """Kill MPI units of which a rank has failed and that their launcher leaves running."""
        if failed := self._mpi.look(now_s):
            self._processes.kill(failed)

    def kill_all(self) -> None:
        """Kill everything below this process, and what MPI units have elsewhere on this machine, and give back all chained orders. `reap` then reports the units as lost."""
        self.stopping = True
        self._give_back(self._chain.take_all())
        self.release(time.monotonic())
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

    def _end(self, ended: Ended) -> None:
        """Start the successor before anything else is done about the unit that ended, but report it afterwards."""
        unit = ended.unit
        successor = None if unit.order.alone else self._take_next(unit.order.width)
        failures = self._start_first_possible(successor, unit.cores)
        self._report_end(
            unit.order,
            lambda: end_unit(ended, self._lanes, self._oom.fresh_kill, stopped=self.stopping),
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
        self._enlist(unit)
        self._reports.started(launch.order, unit.pid, now, time.monotonic())
        return None

    def _start_again(self, ended: Ended) -> bool:
        """Start a launcher that failed before any rank had begun a second time; return whether it was started.

        Launchers that start at the same moment may be in each other's way: those of Open MPI 4 remove the folder that
        they share, ssh and Slurm refuse for a moment. What has not begun can be repeated.
        """
        unit = ended.unit
        if unit.again or self.stopping:
            return False
        try:
            self._starter.start_again(unit)
        except StartError as failure:
            self._log(f"launcher not started again: unit={unit.order.id} {failure}")
            return False
        self._enlist(unit)
        self._log(
            f"launcher started again: unit={unit.order.id} exit={ended.exit.code} before any rank had begun"
        )
        return True

    def _enlist(self, unit: Running) -> None:
        self._running[unit.pid] = unit
        self._pids[unit.order.id] = unit.pid
        if unit.order.mpi:
            self._mpi.started(unit)

    def _report_failures(self, failures: Iterable[_Failure]) -> None:
        for order, end, successor in failures:
            self._report_end(order, partial(_same, end), successor)

    def _report_end(self, order: Order, end: Callable[[], EndRecord], successor: Launch | None) -> None:
        self._reports.ended(order, end, successor.order if successor else None, time.monotonic())


def _same(end: EndRecord) -> EndRecord:
    return end


def _traceback() -> str:
    import traceback  # noqa: PLC0415 - only a mistake of ours is worth the time to import it

    return traceback.format_exc()
