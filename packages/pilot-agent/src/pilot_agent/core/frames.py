"""Frames for the executors, gathered while an event is handled, so that each executor gets one of a kind.

Invariant: what concerns one unit is sent in an order that an executor can follow: start or place before signal.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pilot_agent.actions import Action, SendPlace, SendRetract, SendSignal, SendStart, SendSweep


class Frames:
    """What is to be sent to the executors."""

    def __init__(self) -> None:
        self._retracts: defaultdict[int, list[str]] = defaultdict(list)
        self._orders: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        self._places: defaultdict[int, list[tuple[str, list[int]]]] = defaultdict(list)
        self._signals: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
        self._sweeps: defaultdict[int, list[tuple[str, int, int]]] = defaultdict(list)

    def retract(self, executor: int, unit_id: str) -> None:
        """Ask for a chained unit."""
        self._retracts[executor].append(unit_id)

    def start(self, executor: int, order: dict[str, Any]) -> None:
        """Hand over a unit."""
        self._orders[executor].append(order)

    def place(self, executor: int, unit_id: str, cores: list[int]) -> None:
        """Give cores to a chained unit."""
        self._places[executor].append((unit_id, cores))

    def signal(self, executor: int, unit_id: str, number: int) -> None:
        """Signal a unit."""
        self._signals[executor].append((unit_id, number))

    def sweep(self, executor: int, unit_id: str, attempt: int, number: int) -> None:
        """Signal all that is of a unit on the node of an executor."""
        self._sweeps[executor].append((unit_id, attempt, number))

    def forget(self, executor: int) -> None:
        """Drop what was meant for an executor that is lost."""
        for gathered in (self._retracts, self._orders, self._places, self._signals, self._sweeps):
            gathered.pop(executor, None)

    def take(self) -> list[Action]:
        """Return the frames gathered since the last call."""
        actions: list[Action] = []
        if self._retracts:
            actions += [SendRetract(executor, ids) for executor, ids in self._retracts.items()]
            self._retracts.clear()
        if self._orders:
            actions += [SendStart(executor, orders) for executor, orders in self._orders.items()]
            self._orders.clear()
        if self._places:
            actions += [SendPlace(executor, places) for executor, places in self._places.items()]
            self._places.clear()
        if self._signals:
            actions += [SendSignal(executor, signals) for executor, signals in self._signals.items()]
            self._signals.clear()
        if self._sweeps:
            actions += [SendSweep(executor, sweeps) for executor, sweeps in self._sweeps.items()]
            self._sweeps.clear()
        return actions
