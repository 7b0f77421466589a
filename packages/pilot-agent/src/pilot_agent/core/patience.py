"""What was taken and does not start soon goes back.

Units are held ahead on the strength of a measured rate. When that turns out wrong (short units are followed by long ones),
those that executors hold come back to the queue, to start on any core, and those for which there are no cores go back to
Redis, where other pilots can take them. A unit whose input was moved in stays: elsewhere that would begin anew.

A unit that could not end before the pilot does goes back, too, but not at once: it would come again at once, since what
comes back is first in its queue. Each time it is kept longer. That is told by its attempts, so that pilots which hand it
to one another slow down together. Claims go on meanwhile, unless so many are kept that others might miss them.
"""

from __future__ import annotations

from collections.abc import Iterable

from pilot_agent.unit_record import UnitRecord

from .claims import Claims
from .deadlines import GIVE_BACK
from .endings import NOT_HERE
from .termination import Termination
from .unit_table import UnitTable

PATIENCE_S = 2.0
"""Time without any start after which nothing more is expected soon."""
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""How long a unit that is too long for this pilot is kept from coming again, by its attempt; later ones as the last."""


class Patience:
    """Watches what is held ahead.

    Args:
        table: The units.
        termination: Takes chained units back.
        claims: What is asked for.
    """

    def __init__(self, table: UnitTable, termination: Termination, claims: Claims) -> None:
        self._table = table
        self._scheduler = table.scheduler
        self._termination = termination
        self._claims = claims

    def check(self, now_s: float) -> None:
        """Give back what has waited in vain."""
        scheduler = self._scheduler
        if scheduler.chains.count:
            for executor, width in scheduler.chains.widths():
                if now_s >= scheduler.rates.noted_s(width) + PATIENCE_S:
                    self._retract(executor, width)
        if len(scheduler.queue) and now_s >= scheduler.moved_s + PATIENCE_S:
            for record in list(scheduler.surplus()):
                self._table.close(record, NOT_HERE)
                self._claims.expects_data = False
            scheduler.moved_s = now_s

    def keep_aside(self, units: Iterable[UnitRecord], now_s: float) -> None:
        """See to it that units which were put aside go back after a while."""
        for record in units:
            pause_s = PAUSES_S[min(record.attempt, len(PAUSES_S)) - 1]
            self._table.deadlines.add(now_s + pause_s, GIVE_BACK, record)

    def _retract(self, executor: int, width: int) -> None:
        for record in list(self._scheduler.chains.lines[executor][width].values()):
            self._termination.retract(record)

    def wake_s(self) -> float | None:
        """Return when to look again, None when nothing is held ahead."""
        scheduler = self._scheduler
        times = [scheduler.moved_s + PATIENCE_S] if len(scheduler.queue) else []
        if scheduler.chains.count:
            times += [scheduler.rates.noted_s(width) + PATIENCE_S for _, width in scheduler.chains.widths()]
        return min(times, default=None)
