"""The state machine of an agent: ``handle(event, now_s)`` returns the actions that follow.

Here is what concerns the pilot as a whole: when units are started, asked for and reported, and when the pilot ends. The
head carries actions out in the order in which they come and tells the core what happened; nothing else knows both.

Invariant: after every event :func:`~pilot_agent.core.invariants.check` finds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable

from pilot_agent.actions import Action, Finish, ReportItem, WakeAt
from pilot_agent.events import (
    CancelRequested,
    Doorbell,
    DrainRequested,
    Event,
    ExecutorEvents,
    ExecutorLost,
    ExecutorSilent,
    ExecutorUp,
    Fenced,
    LeaseEnded,
    LinkBack,
    Moved,
    NodeGone,
    ReportConfirmed,
    ReportsFound,
    ServerForgot,
    StopRequested,
    Swept,
    Tick,
    UnitsClaimed,
)
from pilot_agent.scheduler.reservation import MOST_OVERTAKES
from pilot_agent.scheduler.scheduler import Scheduler
from pilot_agent.scheduler.slots import Capacity, NodeSpec
from pilot_agent.unit_record import PLACED, SWEEPING, Cause

from .claims import Claims
from .deliveries import has_output
from .endings import WALLTIME_OVER
from .invariants import check
from .patience import Patience
from .progress import Progress
from .sweeps import Sweeps
from .termination import Termination
from .unit_table import UnitTable

_MARGIN_AFTER_GRACE_S = 5.0


@dataclass(frozen=True)
class CoreSettings:
    """Settings of a pilot's core.

    Attributes:
        end_s: End of the pilot's walltime, on the clock of ``now_s``; None: it has none.
        grace_s: Time between SIGTERM and SIGKILL.
        margin_s: So long before ``end_s``, units are told to end; None: the grace and 5 s for the reports.
        most_overtakes: How many later units may take cores that a larger one waits for.
    """

    end_s: float | None = None
    grace_s: float = 10.0
    margin_s: float | None = None
    most_overtakes: int = MOST_OVERTAKES

    @property
    def stop_s(self) -> float:
        """When units are told to end because the walltime does; infinite without one."""
        if self.end_s is None:
            return math.inf
        return self.end_s - (self.grace_s + _MARGIN_AFTER_GRACE_S if self.margin_s is None else self.margin_s)


class AgentCore:
    """Decides for one pilot.

    Args:
        nodes: What the pilot has. Executors are numbered through, those of node 0 first; they count as running.
        settings: See :class:`CoreSettings`.
    """

    def __init__(self, nodes: Sequence[NodeSpec], settings: CoreSettings | None = None) -> None:
        settings = settings or CoreSettings()
        self.scheduler = Scheduler(nodes, settings.most_overtakes)
        self.table = UnitTable(self.scheduler)
        self._sweeps = Sweeps(self.table)
        self.termination = Termination(self.table, self._sweeps, settings.grace_s, settings.stop_s)
        self._progress = Progress(self.table, self.termination, self._sweeps)
        self.claims = Claims(self.scheduler, self.table.staging)
        self._patience = Patience(self.table, self.termination, self.claims)
        self._stop_s = settings.stop_s
        self._ending: Finish | None = None
        self._is_stopping = False
        self._has_finished = False
        self._armed_s = math.inf
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            UnitsClaimed: self._units_claimed,
            ExecutorEvents: self._executor_events,
            ReportConfirmed: lambda event, now_s: self._progress.answer(event.outcomes, now_s),
            ReportsFound: self._reports_found,
            CancelRequested: self._cancel,
            Tick: lambda _event, _now_s: None,
            Doorbell: lambda _event, _now_s: self.claims.hear_bell(),
            DrainRequested: self._drain,
            StopRequested: self._stop,
            LeaseEnded: lambda _event, now_s: self.termination.fence(now_s),
            Fenced: self._fenced,
            LinkBack: self._link_back,
            ServerForgot: self._server_forgot,
            Swept: lambda event, _now_s: self._sweeps.swept(event.executor, event.unit_ids),
            Moved: self._progress.moved,
            ExecutorSilent: self._executor_silent,
            ExecutorLost: self._executor_lost,
            NodeGone: lambda event, _now_s: self.scheduler.slots.give_up_node(event.executor),
            ExecutorUp: lambda event, _now_s: self.scheduler.slots.revive_executor(event.executor),
        }

    def handle(self, event: Event, now_s: float) -> list[Action]:
        """Take an event and return what is to be done, in this order.

        The first event, :class:`~pilot_agent.events.Doorbell` for example, brings the first claim. After
        :class:`~pilot_agent.actions.Finish` nothing follows any more.

        Args:
            event: What happened.
            now_s: The time, on a clock that never goes back.

        Raises:
            ProtocolError: A report was answered with another number of outcomes than it has items.
        """
        if self._has_finished:
            return []
        if self._armed_s <= now_s:
            self._armed_s = math.inf
        self._handlers[type(event)](event, now_s)
        return self._settle(now_s)

    def held(self) -> list[tuple[str, int]]:
        """Return unit and attempt of everything that Redis must count as this pilot's, for a sync."""
        return self.table.held()

    @property
    def free_cores(self) -> int:
        """Cores on which no unit stands."""
        return self.scheduler.slots.free_cores

    def capacity(self) -> Capacity:
        """Return what the pilot has on nodes that are not gone."""
        return self.scheduler.slots.capacity()

    def sanity_check(self) -> None:
        """Look whether all the books agree; costs a scan of everything.

        Raises:
            AssertionError: They do not; the message says which.
        """
        starts_units = not (self.termination.is_draining or self.termination.is_fenced)
        check(self.table, starts_units=starts_units)

    # --- events ---

    def _units_claimed(self, event: UnitsClaimed, now_s: float) -> None:
        cores, has_data = 0, False
        for unit in event.units:
            cores += unit.spec.cores
            has_data = has_data or unit.data is not None
            self._progress.take_in(unit, now_s)
        self.table.reports.outbox += event.rejected
        self.claims.answered(len(event.units), cores, has_data=has_data)
        if event.rejected:
            self.claims.expect_work()

    def _executor_events(self, event: ExecutorEvents, now_s: float) -> None:
        # A unit that was given cores ends with the others: the ends say who started, so they come first.
        self._progress.ended(event.executor, event.ended, now_s)
        self._progress.started(event.executor, event.started, now_s)
        self._progress.retracted(event.executor, event.retracted, now_s)

    def _executor_silent(self, event: ExecutorSilent, now_s: float) -> None:
        self.scheduler.lose_executor(event.executor)
        self._sweeps.fall_silent(event.executor)
        self.termination.lose_node(event.executor, now_s)

    def _executor_lost(self, event: ExecutorLost, now_s: float) -> None:
        self._progress.executor_lost(event, now_s)

    def _reports_found(self, event: ReportsFound, _now_s: float) -> None:
        self._tell_ends(event.items)

    def _tell_ends(self, items: Sequence[ReportItem]) -> None:
        """Report ends that were found in the journal; what they leave is delivered before."""
        for item in items:
            if not self.table.deliveries.take_in(item):
                self.table.reports.add(item)

    def _cancel(self, event: CancelRequested, now_s: float) -> None:
        for unit_id in event.unit_ids:
            self.termination.cancel(unit_id, now_s)

    def _drain(self, event: DrainRequested, now_s: float) -> None:
        if self._ending is None:
            self._ending = Finish("Done", event.reason)
            self.termination.drain(now_s)

    def _stop(self, event: StopRequested, now_s: float) -> None:
        cause = Cause(event.letter, event.unit_reason, "its pilot was stopped")
        state = "Done" if self.table.is_empty else event.state
        self._end(Finish(state, event.reason), cause, now_s)

    def _end(self, ending: Finish, cause: Cause, now_s: float) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._ending = ending
            self.termination.stop(cause, now_s)

    def _fenced(self, event: Fenced, now_s: float) -> None:
        for unit_id in event.unit_ids:
            record = self.table.records.get(unit_id)
            if record is not None:
                self.termination.drop(record, now_s)
            self.table.deliveries.drop(unit_id)

    def _link_back(self, _event: LinkBack, _now_s: float) -> None:
        self.termination.is_fenced = False
        self.claims.void()
        self.table.reports.send_again()

    def _server_forgot(self, event: ServerForgot, _now_s: float) -> None:
        self.table.reports.send_again()
        unheard = self.table.reports.take_back(
            has_output
        )  # the server may have forgotten what was delivered before
        self._tell_ends([*event.ends, *unheard])
        self.table.reports.say_again(
            record for record in self.table.records.values() if record.phase in (PLACED, SWEEPING)
        )
        self.table.reports.outbox += [
            ReportItem(item.id, item.attempt, "R") for item in self.table.deliveries.items()
        ]

    # --- what follows from every event ---

    def _settle(self, now_s: float) -> list[Action]:
        self.termination.expire(now_s)
        self.table.deliveries.expire(now_s)
        if now_s >= self._stop_s:
            self._end(Finish("Done", "walltime"), WALLTIME_OVER, now_s)
        for unit in self.table.take_superseding():
            self._progress.take_in(unit, now_s)
        may_start = not (self.termination.is_draining or self.termination.is_fenced)
        if may_start:
            self._schedule(now_s)
        actions = self.table.take_actions()
        if not self.termination.is_fenced:
            self._talk(actions, now_s, may_claim=may_start)
        self._set_alarm(actions)
        return actions

    def _schedule(self, now_s: float) -> None:
        self._patience.check(now_s)
        plan = self.scheduler.plan(now_s, self._stop_s - now_s)
        self._progress.carry_out(plan, now_s)
        self._patience.keep_aside(plan.aside, now_s)

    def _talk(self, actions: list[Action], now_s: float, *, may_claim: bool) -> None:
        reports = self.table.reports
        is_idle = not (may_claim and (len(self.scheduler.queue) or self.scheduler.chains.count))
        report = reports.take(now_s, is_idle=is_idle)
        if report is not None:
            actions.append(report)
        claim = self.claims.take(now_s, may_start=may_claim)
        if claim is not None:
            actions.append(claim)
        if self._ending is not None and self.table.is_empty and reports.is_empty:
            self._has_finished = True
            actions.append(self._ending)

    def _set_alarm(self, actions: list[Action]) -> None:
        if self._has_finished:
            return
        times = [self.table.deadlines.next_s(), self.table.deliveries.wake_s()]
        if not self.termination.is_fenced:
            times += [self.table.reports.wake_s(), self._patience.wake_s()]
        if not self._is_stopping:
            times.append(self._stop_s)
        next_s = min((at_s for at_s in times if at_s is not None), default=math.inf)
        if next_s < self._armed_s:
            self._armed_s = next_s
            actions.append(WakeAt(next_s))
