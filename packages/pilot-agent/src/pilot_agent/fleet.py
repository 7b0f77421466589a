"""The other nodes of a pilot: how they are called together before it registers, and who of them has come.

Each node is asked for once, all side by side; what keeps one away is told by the last words of its launch. The pilot begins with
those that have come.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Callable, NamedTuple

from .config import AgentConfig
from .import_root import agent_command_elsewhere
from .lrms.allocation import NodeShare
from .lrms.cgroups import Limits
from .lrms.local import Asked, LocalNode, is_same_host, of_allocation
from .lrms.machine import Machine
from .lrms.node_commands import NodeCommand, launcher_of, node_commands
from .node.handshake import link_key
from .node_listener import Arrival, NodeListener, addresses_for
from .resources import Resources
from .tied_process import TiedProcess

logger = logging.getLogger(__name__)

_LINES_KEPT = 100
_DESCRIPTORS = 200
_DESCRIPTORS_OF_NODE = 3
"""The connection, the end of a former one, and the output of what has started its executor."""


class FarNode(NamedTuple):
    """A node that has come."""

    node: LocalNode
    arrival: Arrival


class Launch(TiedProcess):
    """What starts executors on other nodes, and lives as long as they do.

    Args:
        command: What to run.
        on_end: Called when it has ended.
    """

    def __init__(self, command: NodeCommand, on_end: Callable[[Launch], None]) -> None:
        self.nodes = command.nodes
        self._on_end = on_end
        super().__init__(command.argv, _LINES_KEPT)

    def note(self, line: str) -> None:
        """Take a line that it, or an executor, said."""
        super().note(line)
        logger.info("node.said %s: %s", ",".join(self.nodes)[:80], line, extra={"action": "node.said"})

    def ended(self) -> None:
        """No executor is left that it has started."""
        self._on_end(self)

    def words_of(self, node: str) -> str:
        """Return the last words about a node; empty when there are none."""
        about = [line for line in self.said if f"node {node}:" in line] or list(self.said)
        return about[-1] if about else ""


class Fleet:
    """The other nodes of one pilot.

    Args:
        config: The agent's settings.
        resources: What the pilot has.
    """

    def __init__(self, config: AgentConfig, resources: Resources) -> None:
        self._config, self._resources = config, resources
        self.nodes: list[FarNode] = []
        self._shares = resources.others
        self._listener: NodeListener | None = None
        self._launches: list[Launch] = []
        self._launch_of: dict[str, Launch] = {}
        self._arrived: dict[str, Arrival] = {}
        self._news: Callable[[], None] = lambda: None
        """To be called when a node has come, or cannot come any more."""

    async def muster(self) -> None:
        """Call all nodes together, and wait for them; those that do not come are left out, and a warning says why."""
        if not self._shares:
            return
        config, loop = self._config, asyncio.get_running_loop()
        _allow_descriptors(_DESCRIPTORS + _DESCRIPTORS_OF_NODE * len(self._shares))
        self._listener = NodeListener(link_key(config.key, config.pilot))
        news = asyncio.Event()
        self._news = news.set
        self._listener.hand_to(self._take)
        self._launch([share.name for share in self._shares])
        deadline_s = loop.time() + config.node_patience_s
        while self._is_awaiting() and (left_s := deadline_s - loop.time()) > 0:
            try:
                await asyncio.wait_for(news.wait(), left_s)
            except asyncio.TimeoutError:
                break
            news.clear()
        self._listener.hand_to(Arrival.dismiss)
        self._enlist()

    def _launch(self, names: Sequence[str]) -> None:
        config, resources = self._config, self._resources
        system = resources.allocation.system if resources.allocation is not None else ""
        launcher = config.node_launcher
        if launcher == "auto":
            launcher = launcher_of(system, lambda program: shutil.which(program) is not None)
        port = self._listener.port if self._listener is not None else 0
        heads = [f"{address}:{port}" for address in addresses_for(names, resources.node.name)]
        words = [
            *agent_command_elsewhere(),
            "node",
            "--settings",
            str(config.path.absolute()),
            "--head",
            ",".join(heads),
        ]
        logger.info(
            "nodes.called launcher=%s nodes=%s", launcher, ",".join(names), extra={"action": "nodes.called"}
        )
        self._launches = [
            Launch(command, self._note_end) for command in node_commands(launcher, names, words)
        ]
        self._launch_of = {name: launch for launch in self._launches for name in launch.nodes}

    def _note_end(self, _launch: Launch) -> None:
        self._news()

    def _is_awaiting(self) -> bool:
        """Whether a node may still come."""
        return any(
            share.name not in self._arrived and not self.launch_has_ended(share.name)
            for share in self._shares
        )

    def _take(self, arrival: Arrival) -> None:
        name = self.name_of(arrival)
        if name is None:
            logger.warning("node.unknown %s", arrival.hello["names"], extra={"action": "node.unknown"})
            arrival.dismiss()
            return
        former = self._arrived.get(name)
        if former is not None:  # its executor was killed, and this is the next one
            former.socket.close()
        self._arrived[name] = arrival
        self._news()

    def _enlist(self) -> None:
        left = self._cores_left()
        missing: dict[str, list[str]] = {}
        for share in self._shares:
            arrival = self._arrived.get(share.name)
            if arrival is None:
                missing.setdefault(self._words_of(share.name), []).append(share.name)
            elif left == 0:
                arrival.dismiss()
            else:
                node = _node_of(share, arrival.hello, Asked(left, self._config.gpus, self._config.memory_mb))
                left = None if left is None else left - node.cores
                self.nodes.append(FarNode(node, arrival))
        for words, names in missing.items():
            nodes = ",".join(names)
            logger.warning(
                "node.missing the pilot does without node %s: %s",
                nodes,
                words,
                extra={"action": "node.missing"},
            )

    def _cores_left(self) -> int | None:
        asked = self._config.cores
        return None if asked is None else max(asked - self._resources.node.cores, 0)

    def _words_of(self, name: str) -> str:
        """Return why a node has not come."""
        launch = self._launch_of[name]
        words = launch.words_of(name)
        if launch.has_ended:
            return words or "what was to start it has ended without a word"
        return f"it has not come within {self._config.node_patience_s:g} s; {words or 'nothing was said'}"

    # --- while the pilot runs ---

    def serve(self, on_arrival: Callable[[Arrival], None], on_launch_end: Callable[[], None]) -> None:
        """Tell from now on of executors that call again, and of launches that have ended."""
        if self._listener is not None:
            self._listener.hand_to(on_arrival)
        self._news = on_launch_end

    def name_of(self, arrival: Arrival) -> str | None:
        """Return which of the pilot's nodes an executor is on; None when it is on none."""
        names: Sequence[str] = arrival.hello["names"]
        exact = next((name for name in names if name in self._launch_of), None)
        if exact is not None:
            return exact
        pairs = ((share.name, name) for name in names for share in self._shares)
        return next((known for known, name in pairs if is_same_host(known, name)), None)

    def launch_has_ended(self, name: str) -> bool:
        """Tell whether nothing is left that keeps an executor on a node."""
        return self._launch_of[name].has_ended

    def pids(self) -> Collection[int]:
        """Return the processes that keep the executors."""
        return [launch.pid for launch in self._launches if not launch.has_ended]

    async def close(self, patience_s: float) -> None:
        """Let nobody in any more, and wait for the end of what keeps the executors; it is killed when it takes too long."""
        if self._listener is None:
            return
        self._listener.close()
        gone = asyncio.Event()
        self._news = lambda: None if self.pids() else gone.set()
        try:
            if self.pids():
                await asyncio.wait_for(gone.wait(), patience_s)
        except asyncio.TimeoutError:
            logger.warning("nodes.slow what started them has not ended", extra={"action": "nodes.slow"})
        for launch in self._launches:
            launch.kill()


def _allow_descriptors(count: int) -> None:
    """See to it that this process may open so many files, as far as it is allowed to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def _node_of(share: NodeShare, hello: Any, asked: Asked) -> LocalNode:
    """Return what the pilot uses of a node that has told what is there."""
    limits = Limits(hello["cores"], hello["memory_mb"])
    machine = Machine(share.name, tuple(hello["cpus"]), limits)
    if hello["gpus"] is not None and not isinstance(share.gpus, tuple):
        share = replace(share, gpus=tuple(hello["gpus"]))
    return of_allocation(machine, share, asked)
