"""Orders that wait in the executor for cores of a unit that ends. Pure.

Invariant: a chained order is in exactly one queue, that of its width, and starts after those that came before it there.
"""

from __future__ import annotations

from collections import OrderedDict

from pilot_agent.node.starter import Launch


class Chain:
    """The waiting orders, first in first out for each number of cores."""

    def __init__(self) -> None:
        # Unlike a dict, an OrderedDict still finds its first entry at once after thousands were taken from its front.
        self._queues: dict[int, OrderedDict[str, Launch]] = {}
        self._widths: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._widths)

    def __contains__(self, unit: str) -> bool:
        return unit in self._widths

    def add(self, launch: Launch) -> None:
        """Put `launch` behind the others of its width."""
        unit, width = launch.order.id, launch.order.width
        self._queues.setdefault(width, OrderedDict())[unit] = launch
        self._widths[unit] = width

    def next(self, width: int) -> Launch | None:
        """Take out the first order that needs `width` cores; None when there is none."""
        queue = self._queues.get(width)
        return self.take(next(iter(queue))) if queue else None

    def take(self, unit: str) -> Launch | None:
        """Take out the order of `unit`; None when it does not wait here."""
        width = self._widths.pop(unit, None)
        return None if width is None else self._queues[width].pop(unit)

    def take_all(self) -> list[Launch]:
        """Take out every order."""
        return [launch for unit in list(self._widths) if (launch := self.take(unit)) is not None]
