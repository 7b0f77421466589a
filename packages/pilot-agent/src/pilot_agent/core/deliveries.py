"""Ends that are not reported yet, because the unit's output is on its way out. The unit itself is gone from the pilot's cores.

A delivery is called off when the user cancels the unit, when the pilot ends before it does, and when the unit is another
pilot's. It may have been faster than that: then it counts as delivered.

The mover may hear that a unit is not this pilot's: a server that has forgotten its claim, or the pilot's epoch, says so as well.
Then the unit is in doubt, and reported as running: from the answer follows that it is delivered again, or dropped.

Invariant: no end of what is here is in a report, and the mover owes one answer for each that is not in doubt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pilot_agent.actions import NoteCauses, ReportItem
from pilot_agent.events import Moved
from pilot_agent.unit_data import is_delivered
from pilot_agent.unit_record import Cause
from pilot_protocol.unit_ops import STALE, UNKNOWN

from .endings import CANCELED, undelivered
from .moves import Moves
from .reports import Reports

ANSWER_S = 2.0
"""How long the mover may take to answer once it was told to stop."""


class _Delivery:
    __slots__ = ("begun_s", "cause", "give_up_s", "is_in_doubt", "item")

    def __init__(self, item: ReportItem) -> None:
        self.item = item
        self.begun_s = math.inf
        self.cause: Cause | None = None
        """Why it was called off."""
        self.give_up_s = math.inf
        self.is_in_doubt = False


class Deliveries:
    """Ends that wait for the mover.

    Args:
        moves: What it is asked.
        reports: Where ends go then.
    """

    def __init__(self, moves: Moves, reports: Reports) -> None:
        self._moves = moves
        self._reports = reports
        self._open: dict[str, _Delivery] = {}
        self._fresh: list[_Delivery] = []
        """Begun while the present event is handled."""
        self._causes: list[tuple[str, int, Cause]] = []
        self._stop_cause: Cause | None = None
        self._stop_s = math.inf

    def __len__(self) -> int:
        return len(self._open)

    def items(self) -> Iterator[ReportItem]:
        """Yield the ends as they are reported if all goes well."""
        return (delivery.item for delivery in self._open.values())

    def take_in(self, item: ReportItem) -> bool:
        """Deliver the output of a unit that has ended, if it has some to deliver; else say no, and nothing has changed."""
        if item.end is None or not has_output(item):
            return False
        self._open[item.id] = delivery = _Delivery(item)
        self._fresh.append(delivery)
        self._moves.deliver(item.id, item.attempt, item.end["deliver"])
        return True

    def _find(self, unit_id: str, attempt: int) -> _Delivery | None:
        delivery = self._open.get(unit_id)
        return delivery if delivery is not None and delivery.item.attempt == attempt else None

    def moved(self, event: Moved) -> None:
        """Report a unit whose output is delivered, or is not for a reason."""
        delivery = self._find(event.unit_id, event.attempt)
        if delivery is None:
            return
        if event.is_stale and delivery.cause is None:
            delivery.is_in_doubt = True
            self._reports.add(ReportItem(event.unit_id, event.attempt, "R"))
        else:
            self._close(delivery, _cause_of(delivery, event.error), event.error)

    def told_whose(self, item: ReportItem, outcome: str) -> None:
        """Take Redis's answer about a unit that was said to run: it may have none here."""
        delivery = self._find(item.id, item.attempt)
        if delivery is None:
            return
        if outcome == STALE or (outcome == UNKNOWN and delivery.is_in_doubt):
            self.drop(item.id)
        elif delivery.is_in_doubt and delivery.item.end is not None:
            delivery.is_in_doubt = False
            self._moves.deliver(item.id, item.attempt, delivery.item.end["deliver"])

    def _close(self, delivery: _Delivery, cause: Cause | None, error: str) -> None:
        item = delivery.item
        del self._open[item.id]
        self._moves.release(item.id, item.attempt)
        if cause is not None:
            self._causes.append((item.id, item.attempt, cause))
            item = item._replace(letter=cause.letter, reason=cause.reason, message=cause.message)
        elif error:
            item = item._replace(message="; ".join(filter(None, (item.message, undelivered(error).message))))
        if item.letter:
            self._reports.add(item)

    # --- calling off ---

    def cancel(self, unit_id: str, give_up_s: float) -> None:
        """Call off a delivery whose unit the user has canceled; of others nothing is known here."""
        delivery = self._open.get(unit_id)
        if delivery is not None:
            self._call_off(delivery, CANCELED, give_up_s)

    def _call_off(self, delivery: _Delivery, cause: Cause, give_up_s: float) -> None:
        if delivery.is_in_doubt:
            self._close(delivery, cause, "")
        elif delivery.cause is None:
            delivery.cause, delivery.give_up_s = cause, give_up_s
            self._moves.cancel(delivery.item.id, delivery.item.attempt)

    def drop(self, unit_id: str) -> None:
        """Give up the delivery of a unit that is another pilot's; it may have none. Redis takes nothing more of that attempt."""
        delivery = self._open.pop(unit_id, None)
        if delivery is None:
            return
        if not delivery.is_in_doubt:
            self._moves.cancel(unit_id, delivery.item.attempt)
        self._moves.release(unit_id, delivery.item.attempt)

    def stop(self, cause: Cause, at_s: float) -> None:
        """Call off at a time whatever is not delivered by then."""
        self._stop_cause, self._stop_s = cause, at_s

    def expire(self, now_s: float) -> None:
        """Do what is due, and note when those were begun that are new."""
        for delivery in self._fresh:
            delivery.begun_s = now_s
        self._fresh.clear()
        if self._stop_cause is not None and now_s >= self._stop_s:
            for delivery in list(self._open.values()):
                self._call_off(delivery, self._stop_cause, now_s + ANSWER_S)
        for delivery in [each for each in self._open.values() if each.give_up_s <= now_s]:
            self._close(delivery, delivery.cause, "")

    def wake_s(self) -> float | None:
        """Return when something is due, None for never."""
        if not self._open:
            return None
        first_s = min(delivery.give_up_s for delivery in self._open.values())
        is_open = any(delivery.cause is None for delivery in self._open.values())
        due_s = min(first_s, self._stop_s) if is_open else first_s
        return None if due_s == math.inf else due_s

    # --- for the journal ---

    @property
    def oldest_s(self) -> float:
        """When the oldest of them was begun: everything that ended earlier is reported. Infinite when there is none."""
        return next((delivery.begun_s for delivery in self._open.values()), math.inf)

    def take_causes(self) -> list[NoteCauses]:
        """Return, once, for which ends something outweighs what the END says."""
        if not self._causes:
            return []
        causes, self._causes = self._causes, []
        return [NoteCauses(causes)]


def has_output(item: ReportItem) -> bool:
    """Tell whether output is delivered before this is reported."""
    return item.end is not None and is_delivered(item.end.get("deliver"), item.letter)


def _cause_of(delivery: _Delivery, error: str) -> Cause | None:
    """Return what is reported instead of how the unit ended; what has failed anyway failed for its own reason."""
    if not error:
        return None
    if delivery.cause is not None:
        return delivery.cause
    return undelivered(error) if delivery.item.letter == "D" else None
