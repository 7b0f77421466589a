"""What is free on each node: cores, GPUs, memory. Says what fits where; who goes next is decided elsewhere.

Invariant: the free cores of a node are all its cores but those of the placements taken and not given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pilot_agent.core_ranges import core_ranges

from .placement import Placement, Shape, choose_cores, core_numbers, first_core

_NAMES_KEPT = 4096
_PLAIN = (1, 0, 0)


class NodeSpec(NamedTuple):
    """What a pilot has on one node.

    Attributes:
        cores: Number of cores.
        gpus: Number of GPUs, ids 0 to n-1.
        memory_mb: For all units together; 0: not counted.
        executors: How many executors serve the node; each owns a run of neighboring cores.
    """

    cores: int
    gpus: int = 0
    memory_mb: int = 0
    executors: int = 1


class Node:
    """One node and what is free on it."""

    def __init__(self, index: int, spec: NodeSpec, first_executor: int) -> None:
        self.index = index
        self.spec = spec
        self.free = (1 << spec.cores) - 1
        self.free_count = spec.cores
        self.free_gpus = list(range(spec.gpus))
        self.free_memory_mb = spec.memory_mb
        self.executors = range(first_executor, first_executor + spec.executors)
        self.alive = list(self.executors)
        self.owners: list[int] = []
        self.assign_owners()

    def assign_owners(self) -> None:
        """Give each core to its executor, or to another one that lives where its own is lost."""
        share = [
            self.executors[core * self.spec.executors // self.spec.cores] for core in range(self.spec.cores)
        ]
        alive = self.alive
        self.owners = [
            owner if owner in alive else alive[core % len(alive)] if alive else owner
            for core, owner in enumerate(share)
        ]

    def fits_empty(self, shape: Shape) -> bool:
        """Whether the node could run the unit if nothing else ran."""
        spec = self.spec
        has_memory = not spec.memory_mb or shape.memory_mb <= spec.memory_mb
        return shape.cores <= spec.cores and shape.gpus <= spec.gpus and has_memory

    def take(self, shape: Shape) -> Placement | None:
        """Take what a unit needs, None when that is not free."""
        cores, gpus, memory_mb = shape
        if cores > self.free_count or not self.alive:
            return None
        taken_gpus: tuple[int, ...] = ()
        if shape != _PLAIN:
            if gpus > len(self.free_gpus) or (self.spec.memory_mb and memory_mb > self.free_memory_mb):
                return None
            taken_gpus = tuple(self.free_gpus[:gpus])
            del self.free_gpus[:gpus]
            self.free_memory_mb -= memory_mb
        chosen = choose_cores(self.free, cores)
        self.free ^= chosen
        self.free_count -= cores
        return Placement(self.index, chosen, taken_gpus)

    def give_gpus_and_memory(self, placement: Placement, shape: Shape) -> None:
        """Take back all but the cores."""
        if placement.gpus:
            self.free_gpus = sorted([*self.free_gpus, *placement.gpus])
        self.free_memory_mb += shape.memory_mb

    def give(self, placement: Placement, shape: Shape) -> None:
        """Take back what a unit held."""
        self.free |= placement.cores
        self.free_count += shape.cores
        if shape != _PLAIN:
            self.give_gpus_and_memory(placement, shape)


class Slots:
    """All nodes of a pilot.

    Args:
        specs: The nodes. Executors are numbered through, those of node 0 first.
    """

    def __init__(self, specs: Sequence[NodeSpec]) -> None:
        self.nodes: list[Node] = []
        self.node_of_executor: list[Node] = []
        for index, spec in enumerate(specs):
            node = Node(index, spec, len(self.node_of_executor))
            self.nodes.append(node)
            self.node_of_executor += [node] * spec.executors
        self.free_cores = sum(spec.cores for spec in specs)
        """On nodes that have an executor."""
        self._numbers: dict[int, list[int]] = {}
        self._texts: dict[int, str] = {}

    def take(self, shape: Shape, besides: int = -1) -> Placement | None:
        """Take what a unit needs on the first node that has it, other than node ``besides``; None when none has."""
        for node in self.nodes:
            if node.free_count >= shape.cores and node.index != besides:
                placement = node.take(shape)
                if placement is not None:
                    self.free_cores -= shape.cores
                    return placement
        return None

    def take_on(self, node: Node, shape: Shape) -> Placement | None:
        """Take what a unit needs on this node; None when that is not free."""
        placement = node.take(shape)
        if placement is not None:
            self.free_cores -= shape.cores
        return placement

    def give(self, placement: Placement, shape: Shape) -> None:
        """Take back what a unit of this shape held."""
        node = self.nodes[placement.node]
        node.give(placement, shape)
        if node.alive:
            self.free_cores += shape.cores

    def executor_of(self, placement: Placement) -> int:
        """Return the executor that serves a placement: the owner of its first core."""
        return self.nodes[placement.node].owners[first_core(placement.cores)]

    def roomiest(self, shape: Shape) -> Node:
        """Return the node with the most free cores among those that could ever run the unit."""
        return max((node for node in self.nodes if node.fits_empty(shape)), key=lambda node: node.free_count)

    def fits_ever(self, shape: Shape) -> bool:
        """Whether the pilot could run the unit if nothing else ran."""
        return any(node.fits_empty(shape) for node in self.nodes)

    def lose_executor(self, executor: int) -> None:
        """Let the other executors of its node serve its cores; without any, the node is out of use."""
        node = self.node_of_executor[executor]
        if executor in node.alive:
            node.alive.remove(executor)
            node.assign_owners()
            self._count()

    def revive_executor(self, executor: int) -> None:
        """Give an executor its cores again."""
        node = self.node_of_executor[executor]
        if executor not in node.alive:
            node.alive = sorted([*node.alive, executor])
            node.assign_owners()
            self._count()

    def _count(self) -> None:
        self.free_cores = sum(node.free_count for node in self.nodes if node.alive)

    def numbers(self, cores: int) -> list[int]:
        """Return a bitmap's core numbers. The list is shared: not to be changed."""
        known = self._numbers.get(cores)
        if known is None:
            if len(self._numbers) >= _NAMES_KEPT:
                self._numbers.clear()
            known = self._numbers[cores] = core_numbers(cores)
        return known

    def text(self, cores: int) -> str:
        """Return a bitmap's cores as ``0-3,8``."""
        known = self._texts.get(cores)
        if known is None:
            if len(self._texts) >= _NAMES_KEPT:
                self._texts.clear()
            known = self._texts[cores] = core_ranges(self.numbers(cores))
        return known
