"""The executors of a pilot: speak to them, start those of this node, replace one that died, end them all.

A dead executor leaves its units' processes to the head, which is a subreaper: they are killed before the core hears of
the loss, so that a unit which starts again never runs beside its former self.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Callable

from . import events
from .executor_link import ExecutorLink
from .far_executors import FarExecutors
from .fleet import Fleet
from .journal import read_records, segments
from .node.frames import PROTOCOL, FrameError
from .node.launcher import start_executor
from .spawn.markers import kill_units
from .spawn.process_tree import kill_descendants

logger = logging.getLogger(__name__)

_FRAME_FIELDS = ("started", "ended", "retracted")


class Executors:
    """All executors of one head.

    Args:
        sandbox: The pilot's folder.
        journal: Folder of the journal.
        lifeline_fd: Descriptor that executors hold open, if any.
        dispatch: Hands an event to the core.
        others: Returns children of this process that are no executor's.
        mpi_units: Returns the MPI units whose launcher an executor has started; no others have ranks on this node, which is the
            first of all.
    """

    def __init__(
        self,
        sandbox: str,
        journal: str,
        lifeline_fd: int | None,
        dispatch: Callable[[events.Event], None],
        others: Callable[[], Collection[int]] = tuple,
        mpi_units: Callable[[int], Collection[tuple[str, str]]] = lambda _executor: (),
    ) -> None:
        self._mpi_units = mpi_units
        self._sandbox, self._journal = sandbox, journal
        self._far: FarExecutors | None = None
        self._lifeline = -1 if lifeline_fd is None else lifeline_fd
        self._dispatch = dispatch
        self._others = others
        self._links: list[ExecutorLink] = []
        self._here = 0
        """How many of the executors are on this node: the first ones."""
        self._ready: set[int] = set()
        self._closing = False

    def start(self, number: int, fleet: Fleet | None = None) -> None:
        """Start ``number`` executors here, numbered from 0, and welcome those of a fleet that has come, numbered on."""
        # All children of this process: executors, and what a dead one has left.
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        self._here = number
        for index in range(number):
            link = ExecutorLink(index, self._hear, self._lose)
            self._links.append(link)
            self._launch(link)
        if fleet is not None and fleet.nodes:
            self._welcome(fleet)

    def _welcome(self, fleet: Fleet) -> None:
        first = len(self._links)
        links = [ExecutorLink(first + at, self._hear, self._lose) for at in range(len(fleet.nodes))]
        self._links += links
        places = (self._sandbox, self._journal)
        self._far = FarExecutors(fleet, links, places, self._dispatch, self._written_by)
        self._far.start()

    def _launch(self, link: ExecutorLink) -> None:
        link.attach(start_executor(self._sandbox, link.index, self._journal, self._lifeline))

    def send(self, executor: int, verb: str, content: Sequence[Any]) -> None:
        """Send a frame to an executor, or several where the content is too long for one."""
        try:
            self._links[executor].send([verb, content])
        except FrameError:
            middle = len(content) // 2
            if not middle:
                raise
            self.send(executor, verb, content[:middle])
            self.send(executor, verb, content[middle:])

    def _hear(self, executor: int, frame: Any) -> None:
        verb, content = frame
        if verb == "hello":
            _check_frames(content["protocol"], executor)
            self._ready.add(executor)
        elif verb == "events":
            self._dispatch(events.ExecutorEvents(executor, *(content[name] for name in _FRAME_FIELDS)))
        elif verb == "swept":
            self._dispatch(events.Swept(executor, content))

    def _lose(self, executor: int) -> None:
        if self._closing:
            return
        if self._far is not None and executor >= self._here:
            self._far.lose(executor)
            return
        link = self._links[executor]
        logger.error("executor.lost index=%d pid=%d", executor, link.pid, extra={"action": "executor.lost"})
        kill_descendants(os.getpid(), spare=self._living(executor))
        kill_units(self._sandbox, self._mpi_units(executor))  # srun has its ranks here started by Slurm
        with suppress(ChildProcessError):
            os.waitpid(link.pid, 0)
        if executor not in self._ready:
            raise RuntimeError(f"executor {executor} (pid {link.pid}) ended before it was ready")
        self._ready.remove(executor)
        self._dispatch(events.ExecutorLost(executor, *self._written_by(executor)))
        self._launch(link)
        self._dispatch(events.ExecutorUp(executor))

    def _living(self, lost: int) -> frozenset[int]:
        own = frozenset(link.pid for link in self._links[: self._here] if link.index != lost)
        return own.union(self._others(), () if self._far is None else self._far.launches())

    def _written_by(self, executor: int) -> tuple[list[list[Any]], list[list[Any]]]:
        """Ends, and chained units begun, that the executor wrote down; the core knows which it was told before."""
        names = [name for name in segments(self._journal) if name.startswith(f"executor-{executor}.")]
        records = read_records(self._journal, names[-2:])
        ended, begun = ([record[1:] for record in records if record[0] == kind] for kind in ("E", "B"))
        return ended, begun

    def lost_nodes(self) -> Collection[str]:
        """Return the names of nodes that are out of use."""
        return () if self._far is None else self._far.lost

    @staticmethod
    def _reap() -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return

    async def stop(self, patience_s: float) -> None:
        """End all executors and whatever they still run."""
        self._closing = True
        if self._far is not None:
            self._far.close()
        for link in self._links:
            link.send(["stop"])
        deadline = asyncio.get_running_loop().time() + patience_s
        for link in self._links:
            await link.wait_closed(deadline)
            link.close()
        if self._far is not None:
            await self._far.wait_closed(deadline)
        kill_descendants(os.getpid())
        # A child that ends while the loop is closed, like a tunnel, would have Python complain on the log.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)


def _check_frames(theirs: Any, executor: int) -> None:
    """A head outlives its executors, and with them a change of the agent's files: a new head is of their version, too."""
    if theirs != PROTOCOL:
        raise RuntimeError(
            f"executor {executor} speaks version {theirs} of the frames, its head version {PROTOCOL}; "
            "the agent's files were changed while it ran"
        )
