"""The executors of the other nodes: welcome them, wait for one that is gone, take it back or give it up.

When a connection ends, the warden of that node kills what the executor has left and starts another one, which calls here. Only
then, or when nobody can be left there any more, the core hears of the loss: a unit that starts again never runs beside its
former self.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection, Sequence
from typing import Any, Callable

from . import events
from .executor_link import ExecutorLink
from .fleet import FarNode, Fleet
from .node.launcher import StartedExecutor
from .node.surroundings import unit_base_environment
from .node_listener import Arrival

logger = logging.getLogger(__name__)

LOST_S = 30.0
"""How long a node whose connection has ended is waited for. More than the time after which an executor on the other side of a
broken network knows of it, and has killed its units."""


class FarExecutors:
    """The executors of a pilot that are not on its head's node.

    Args:
        fleet: Their nodes.
        links: To each of them, in the order of the fleet's nodes; not attached yet.
        places: The pilot's folder, and that of its journal.
        dispatch: Hands an event to the core.
        written_by: Returns what an executor wrote down: ends, and units begun.
    """

    def __init__(
        self,
        fleet: Fleet,
        links: Sequence[ExecutorLink],
        places: tuple[str, str],
        dispatch: Callable[[events.Event], None],
        written_by: Callable[[int], tuple[list[list[Any]], list[list[Any]]]],
    ) -> None:
        self._fleet = fleet
        self._places = places
        self._dispatch, self._written_by = dispatch, written_by
        self._links = {far.node.name: link for far, link in zip(fleet.nodes, links)}
        self._names = {link.index: name for name, link in self._links.items()}
        self._awaited: dict[str, asyncio.TimerHandle] = {}
        """Nodes whose executor is gone, until it is back or given up."""
        self.lost: set[str] = set()
        """Nodes that were given up, and are not back."""

    def start(self) -> None:
        """Welcome those that have come, and listen for those that come again."""
        for far in self._fleet.nodes:
            self._welcome(far)
        self._fleet.serve(self._take_back, self._look_at_launches)

    def close(self) -> None:
        """Wait for nobody any more."""
        for timer in self._awaited.values():
            timer.cancel()
        self._fleet.serve(Arrival.dismiss, lambda: None)

    async def wait_closed(self, deadline_s: float) -> None:
        """Wait until nothing is left on their nodes, at most until ``deadline_s`` of the loop's clock."""
        await self._fleet.close(deadline_s - asyncio.get_running_loop().time())

    def launches(self) -> Collection[int]:
        """Return the processes of this machine that keep them."""
        return self._fleet.pids()

    def lose(self, executor: int) -> None:
        """Take note that a connection has ended."""
        name = self._names[executor]
        logger.error("node.silent %s", name, extra={"action": "node.silent"})
        self._awaited[name] = asyncio.get_running_loop().call_later(LOST_S, self._give_up, name)
        self._dispatch(events.ExecutorSilent(executor))
        self._look_at_launches()

    def _look_at_launches(self) -> None:
        """Give up nodes on which nothing can be left; one that only fell silent may still run."""
        for name in list(self._awaited):
            if self._fleet.launch_has_ended(name) and not self._links[name].fell_silent:
                self._give_up(name)

    def _give_up(self, name: str) -> None:
        self._awaited.pop(name).cancel()
        self.lost.add(name)
        logger.error("node.lost %s", name, extra={"action": "node.lost"})
        self._report_lost(name)
        self._dispatch(events.NodeGone(self._links[name].index))

    def _take_back(self, arrival: Arrival) -> None:
        name = self._fleet.name_of(arrival)
        link = self._links.get(name or "")
        if name is None or link is None:
            arrival.dismiss()
            return
        if link.is_open:  # it was faster than the end of its former connection
            link.close()
            self._report_lost(name)
        elif name in self._awaited:
            self._awaited.pop(name).cancel()
            self._report_lost(name)
        self.lost.discard(name)
        self._attach(link, arrival)
        logger.warning("node.back %s", name, extra={"action": "node.back"})
        self._dispatch(events.ExecutorUp(link.index))

    def _report_lost(self, name: str) -> None:
        executor = self._links[name].index
        self._dispatch(events.ExecutorLost(executor, *self._written_by(executor)))

    def _welcome(self, far: FarNode) -> None:
        self._attach(self._links[far.node.name], far.arrival)

    def _attach(self, link: ExecutorLink, arrival: Arrival) -> None:
        link.attach(StartedExecutor(arrival.hello["pid"], arrival.socket), arrival.framing)
        sandbox, journal = self._places
        link.send(
            [
                "welcome",
                {
                    "executor": link.index,
                    "sandbox": sandbox,
                    "journal": journal,
                    "environment": unit_base_environment(os.environ),
                },
            ]
        )
