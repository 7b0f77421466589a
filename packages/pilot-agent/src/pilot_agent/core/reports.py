"""News on its way to Redis: when it is sent, and what comes back.

At most one report is under way; what happens meanwhile is gathered for the next one. A unit that has ended is not told to
be running any more, and none is before it has run for :data:`RUNNING_AGE_S`: a short unit costs Redis one change.

Invariant: an item is in the outbox, under way, or held back until Redis may know its unit, and nowhere after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Callable

from pilot_agent.actions import Report, ReportItem
from pilot_agent.scheduler.slots import Slots
from pilot_agent.unit_record import UnitRecord
from pilot_protocol.errors import ProtocolError
from pilot_protocol.unit_ops import UNKNOWN

MOST_ITEMS = 500
"""Of one report."""
ENOUGH_ITEMS = 200
"""So many are sent without waiting for more."""
PAUSE_S = 0.01
"""Time between reports while there is other work."""
RUNNING_AGE_S = 0.02
"""Age from which a unit is told to be running."""
RETRY_S = 1.0
"""When to try again with a unit that Redis does not know: its client may still be bringing it back."""
UNKNOWN_KEPT_S = 60.0
"""Time after which nobody brings it back."""


class Reports:
    """The outbox of an agent.

    Args:
        slots: For the names of cores.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.outbox: list[ReportItem] = []
        self.under_way: list[ReportItem] | None = None
        self.held_back: list[tuple[float, ReportItem]] = []
        self._unknown_since: dict[tuple[str, int, str], float] = {}
        self._running: dict[str, UnitRecord] = {}
        self._is_urgent = False
        self._sent_s = float("-inf")

    def add(self, item: ReportItem) -> None:
        """Report this with the next batch."""
        self.outbox.append(item)

    def add_running(self, record: UnitRecord) -> None:
        """Report at once that a unit is about to run; it waits for the answer."""
        record.is_reported = True
        self.outbox.append(self._running_item(record))
        self._is_urgent = True

    def note_running(self, record: UnitRecord, now_s: float) -> None:
        """Report that a unit runs, if it still does after a while."""
        record.is_reported = True
        record.running_s = now_s
        self._running[record.id] = record

    def tell_ran(self, record: UnitRecord) -> None:
        """Report that a unit has run, unless that was said: its end will take a while, and must not look like no start."""
        if not record.is_reported or self._running.pop(record.id, None) is not None:
            record.is_reported = True
            self.outbox.append(self._running_item(record))

    def say_again(self, records: Iterable[UnitRecord]) -> None:
        """Report at once which of these run: Redis may know no more that they started, and what did not is free."""
        unsaid = {item[:2] for item in self.pending()} | {
            (held.id, held.attempt) for held in self._running.values()
        }
        for record in records:
            if record.is_reported and (record.id, record.attempt) not in unsaid:
                self.add_running(record)

    def forget(self, record: UnitRecord) -> None:
        """Do not report any more that a unit runs."""
        self._running.pop(record.id, None)

    def take(self, now_s: float, *, is_idle: bool) -> Report | None:
        """Return the report that is to be sent now, if any.

        Args:
            now_s: The time.
            is_idle: Whether no unit waits for a slot; then nothing is gained by waiting for more news.
        """
        if self.under_way is not None:
            return None
        if self.held_back:
            self._bring_back(now_s)
        if not self._is_due(now_s, is_idle=is_idle):
            return None
        items = self.outbox[:MOST_ITEMS]
        del self.outbox[:MOST_ITEMS]
        items += self._old_enough(now_s, MOST_ITEMS - len(items))
        self._is_urgent = self._is_urgent and bool(self.outbox)
        self._sent_s = now_s
        self.under_way = items
        return Report(items)

    def _is_due(self, now_s: float, *, is_idle: bool) -> bool:
        count = len(self.outbox)
        if count and (is_idle or self._is_urgent or count >= ENOUGH_ITEMS or now_s >= self._sent_s + PAUSE_S):
            return True
        first = self._running_since()
        return first is not None and now_s >= first + RUNNING_AGE_S

    def _running_since(self) -> float | None:
        return next((record.running_s for record in self._running.values()), None)

    def _old_enough(self, now_s: float, most: int) -> Iterable[ReportItem]:
        records: list[UnitRecord] = []
        for record in self._running.values():
            if now_s < record.running_s + RUNNING_AGE_S or len(records) == most:
                break
            records.append(record)
        for record in records:
            del self._running[record.id]
        return [self._running_item(record) for record in records]

    def _running_item(self, record: UnitRecord) -> ReportItem:
        placement = record.placement
        if placement is None:
            return ReportItem(record.id, record.attempt, "R")
        cores = self._slots.texts(placement)
        return ReportItem(record.id, record.attempt, "R", cores=cores, nodes=placement.nodes)

    def answer(self, outcomes: str, now_s: float) -> Iterator[tuple[ReportItem, str]]:
        """Take Redis's answer; yield the ``R`` items that were decided, with their outcome.

        Raises:
            ProtocolError: There are not as many outcomes as items.
        """
        items, self.under_way = self.under_way or [], None
        if len(outcomes) != len(items):
            raise ProtocolError(f"a report of {len(items)} items was answered with {len(outcomes)} outcomes")
        for item, outcome in zip(items, outcomes):
            decided = outcome
            if outcome == UNKNOWN or self._unknown_since:
                decided = self._settle_unknown(item, outcome, now_s)
            if item.letter == "R" and decided:
                yield item, decided

    def _settle_unknown(self, item: ReportItem, outcome: str, now_s: float) -> str:
        """Return the outcome; empty while it is open, and unknown when nobody brings the unit back any more."""
        key = item[:3]
        if outcome != UNKNOWN:
            self._unknown_since.pop(key, None)
            return outcome
        if now_s - self._unknown_since.setdefault(key, now_s) < UNKNOWN_KEPT_S:
            self.held_back.append((now_s + RETRY_S, item))
            return ""
        del self._unknown_since[key]
        return UNKNOWN

    def _bring_back(self, now_s: float) -> None:
        self.outbox += [item for at_s, item in self.held_back if at_s <= now_s]
        self.held_back = [entry for entry in self.held_back if entry[0] > now_s]

    def send_again(self) -> None:
        """Let the report under way, whose answer will not come, be part of the next one."""
        if self.under_way is not None:
            self.outbox = self.under_way + self.outbox
            self.under_way = None

    def take_back(self, is_meant: Callable[[ReportItem], bool]) -> list[ReportItem]:
        """Take out again what is not under way, and return it."""
        waiting = [*self.outbox, *(item for _, item in self.held_back)]
        self.outbox = [item for item in self.outbox if not is_meant(item)]
        self.held_back = [entry for entry in self.held_back if not is_meant(entry[1])]
        return [item for item in waiting if is_meant(item)]

    def pending(self) -> Iterator[ReportItem]:
        """Yield everything that Redis has not confirmed."""
        yield from self.under_way or ()
        yield from self.outbox
        yield from (item for _, item in self.held_back)

    @property
    def is_empty(self) -> bool:
        """Whether Redis has confirmed everything."""
        return not self.outbox and self.under_way is None and not self.held_back

    def wake_s(self) -> float | None:
        """Return when the next report is due, None when an answer or an event comes before it."""
        if self.under_way is not None:
            return None
        times = [at_s for at_s, _ in self.held_back]
        if self.outbox:
            times.append(self._sent_s + PAUSE_S)
        first = self._running_since()
        if first is not None:
            times.append(first + RUNNING_AGE_S)
        return min(times, default=None)
