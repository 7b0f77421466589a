"""From the core's numbers to what executors and programs need: CPUs as the kernel numbers them, GPUs and nodes by name. Pure.

The core counts nodes, cores and GPUs from 0. Where units are not pinned its numbers of cores stand for no CPU in particular, and
are told as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .core_ranges import core_ranges
from .launch.rank_script import GPU_VARIABLES
from .lrms.local import LocalNode

_NODES = "PILOT_UNIT_NODES"


class NodeNames:
    """Names of what a pilot has.

    Args:
        nodes: Its nodes, as the core counts them.
        first_executors: How many executors the first node has; each other node has one.
        mpi: What each order of an MPI unit says beside its ranks.
    """

    def __init__(self, nodes: Sequence[LocalNode], first_executors: int, mpi: dict[str, str]) -> None:
        self._nodes = list(nodes)
        self._of_executor = [nodes[0]] * first_executors + self._nodes[1:]
        self._mpi = mpi

    def complete(self, executor: int, order: dict[str, Any]) -> None:
        """Put names and CPU numbers into an order that goes to an executor."""
        node = self._of_executor[executor]
        order["pin"] = bool(node.cpus)
        if order["cores"] is not None:
            order["cores"] = _cpus(node, order["cores"])
        ranks = order.pop("ranks", None)
        if ranks is not None:
            order["mpi"] = self._ranks(ranks)
            order["env"][_NODES] = ",".join(dict.fromkeys(name for name, *_ in order["mpi"]["ranks"]))
            return
        order["env"][_NODES] = node.name
        if order.get("gpus"):
            order["env"].update(dict.fromkeys(GPU_VARIABLES, _gpus(node, order["gpus"])))

    def cpus(self, executor: int, cores: Sequence[int]) -> list[int]:
        """Return an executor's CPUs by the core's numbers."""
        return _cpus(self._of_executor[executor], cores)

    def _ranks(self, ranks: Sequence[Sequence[Any]]) -> dict[str, Any]:
        placed = [(self._nodes[index], cores, gpus) for index, cores, gpus in ranks]
        return {
            **self._mpi,
            "ranks": [
                [node.name, core_ranges(_cpus(node, cores)), _gpus(node, gpus)]
                for node, cores, gpus in placed
            ],
            "pinned": all(node.cpus for node, *_ in placed),
        }


def _cpus(node: LocalNode, cores: Sequence[int]) -> list[int]:
    return [node.cpus[core] for core in cores] if node.cpus else list(cores)


def _gpus(node: LocalNode, gpus: Sequence[int]) -> str:
    """Return the names of GPUs; those that a unit has several shares of are named once."""
    return ",".join(node.gpus[number] for number in dict.fromkeys(gpus))
