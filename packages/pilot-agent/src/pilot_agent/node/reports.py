"""Events that wait to be told to the head, and the rule when to tell them. Pure.

One message per burst: with chained orders waiting, the cores are busy anyway and ends are collected; without, the head
has to act on each at once. Invariant: events of one unit leave in the order in which they happened, and a unit that
started and ended in between is only named as ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pilot_agent.node.frames import encode
from pilot_agent.node.orders import EndRecord, Order

FLUSH_ENDS = 32
"""Ends that are told without waiting for more."""

FLUSH_DELAY_S = 0.01
"""How long an event waits for others."""


class Reports:
    """Collects events for the next message."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._started: dict[str, list[Any]] = {}
        self._ended: list[list[Any]] = []
        self._retracted: list[str] = []
        self._given_back: list[list[Any]] = []
        self._since_s: float | None = None

    def started(self, order: Order, pid: int, time: float, now_s: float) -> None:
        """Note that a unit runs since `time`."""
        self._started[order.id] = [order.id, order.attempt, pid, time]
        self._note(now_s)

    def ended(
        self, order: Order, end: Callable[[], EndRecord], successor: Order | None, now_s: float
    ) -> None:
        """Note that a unit ended and, if that is so, which chained one took over its cores.

        `end` is called when the report is taken: many of them in a row find their code in the processor's cache.
        """
        self._started.pop(order.id, None)
        self._ended.append([order.id, order.attempt, end, successor.id if successor else None])
        self._note(now_s)

    def rejected(self, unit: str, attempt: int, end: EndRecord, now_s: float) -> None:
        """Note that an order could not be understood."""
        self._ended.append([unit, attempt, lambda: end, None])
        self._note(now_s)

    def retracted(self, orders: Sequence[Order], now_s: float) -> None:
        """Note that chained orders are given back without having been started."""
        if not orders:
            return
        self._retracted += [order.id for order in orders]
        self._given_back += [["U", order.id, order.attempt] for order in orders]
        self._note(now_s)

    def _note(self, now_s: float) -> None:
        if self._since_s is None:
            self._since_s = now_s

    def due_s(self, chained: int) -> float | None:
        """Return when to `take` the events, None when there are none.

        Args:
            chained: number of orders that wait for cores.
        """
        if self._since_s is None:
            return None
        collecting = chained and len(self._ended) < FLUSH_ENDS
        return self._since_s + FLUSH_DELAY_S if collecting else self._since_s

    def take(self) -> tuple[str, str]:
        """Return all events so far as lines of the journal and as a message, and forget them.

        Both are JSON text: an end is the longest of all that is said about a unit, and is encoded once for the two.
        """
        lines: list[str] = []
        ended: list[str] = []
        for unit, attempt, end, successor in self._ended:
            said = encode([unit, attempt, end()])[1:-1]
            lines.append(f'["E",{said}]\n')
            ended.append(f"[{said},{encode(successor)}]")
        lines += [f"{encode(record)}\n" for record in self._given_back]
        started, retracted = encode(list(self._started.values())), encode(self._retracted)
        message = f'["events",{{"started":{started},"ended":[{",".join(ended)}],"retracted":{retracted}}}]'
        self._reset()
        return "".join(lines), message
