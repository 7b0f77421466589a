"""One node of a pilot: what it has, what is free of it, and which executor serves which core.

Invariant: the free cores of a node are all its cores but those of the parts taken and not given back.
"""

from __future__ import annotations

from typing import NamedTuple

from .gpus import Gpus
from .placement import GPU, PLAIN, WHOLE_NODES, Part, Shape, choose_cores


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

    def room(self, shape: Shape) -> int:
        """Return how many ranks of a unit could run here if nothing else did."""
        need = shape.rank
        rooms = [self.cores // need.cores]
        if need.gpus:
            rooms.append(
                self.gpus * (GPU // need.gpus) if need.gpus < GPU else self.gpus // (need.gpus // GPU)
            )
        if self.memory_mb and need.memory_mb:
            rooms.append(self.memory_mb // need.memory_mb)
        return min(rooms)


class Node:
    """One node and what is free on it."""

    def __init__(self, index: int, spec: NodeSpec, first_executor: int) -> None:
        self.index = index
        self.spec = spec
        self.free = (1 << spec.cores) - 1
        self.free_count = spec.cores
        self.gpus = Gpus(spec.gpus)
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

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs here."""
        return self.free_count == self.spec.cores

    def room(self, shape: Shape) -> int:
        """Return how many ranks of a unit fit now."""
        if not self.alive or (shape.policy == WHOLE_NODES and not self.is_idle):
            return 0
        need = shape.rank
        room = self.free_count // need.cores
        if room and need.gpus:
            room = min(room, self.gpus.room(need.gpus))
        if room and self.spec.memory_mb and need.memory_mb:
            room = min(room, self.free_memory_mb // need.memory_mb)
        return room

    def take(self, shape: Shape, ranks: int) -> Part:
        """Take what ranks of a unit need; there must be room for them."""
        if shape == PLAIN:
            core = self.free & -self.free
            self.free ^= core
            self.free_count -= 1
            return Part(self.index, core)
        need = shape.rank
        count = self.spec.cores if shape.policy == WHOLE_NODES else ranks * need.cores
        cores = choose_cores(self.free, count)
        self.free ^= cores
        self.free_count -= count
        self.free_memory_mb -= ranks * need.memory_mb
        return Part(self.index, cores, self.gpus.take(need.gpus, ranks) if need.gpus else (), ranks)

    def give(self, part: Part, shape: Shape) -> None:
        """Take back what ranks of a unit held."""
        self.free |= part.cores
        if shape == PLAIN:
            self.free_count += 1
            return
        self.free_count += bin(part.cores).count("1")
        self.give_gpus_and_memory(part, shape)

    def give_gpus_and_memory(self, part: Part, shape: Shape) -> None:
        """Take back all but the cores."""
        need = shape.rank
        if part.gpus:
            self.gpus.give(part.gpus, need.gpus)
        self.free_memory_mb += part.ranks * need.memory_mb
