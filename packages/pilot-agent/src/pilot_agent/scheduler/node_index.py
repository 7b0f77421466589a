"""Which nodes have enough free: found without a look at each of them.

For each number of cores there is a bitmap of the nodes that have at least as many free; a change of n cores on a node
changes n of them. So finding a node costs the same in an allocation of one node and of a thousand. GPUs are indexed in the
same way; shares of GPUs and memory in coarse levels, by which a node may seem to fit that does not quite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .node import Node, NodeSpec
from .placement import GPU, Shape

_LEVELS = 16
"""Of shares of GPUs, and of memory."""


class Levels(NamedTuple):
    """What is free on a node, as it is indexed."""

    cores: int
    gpus: int
    share: int
    memory: int


class _Index:
    """Nodes by a level between 0 and ``most``."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._with: list[int] = [-1] + [0] * most
        """Bitmap of the nodes with at least this level."""

    def change(self, node: int, before: int, after: int) -> None:
        bit = 1 << node
        low, high = (before, after) if before < after else (after, before)
        for level in range(low + 1, high + 1):
            self._with[level] ^= bit

    def with_at_least(self, level: int) -> int:
        return self._with[level] if level <= self.most else 0


class NodeIndex:
    """Nodes by what is free on them; those out of use count as having no free core.

    Args:
        specs: The nodes.
    """

    def __init__(self, specs: Sequence[NodeSpec]) -> None:
        self._cores = _Index(max(spec.cores for spec in specs))
        self._gpus = _Index(max(spec.gpus for spec in specs))
        self._share, self._memory = _Index(_LEVELS), _Index(_LEVELS)
        self._most_memory_mb = max(spec.memory_mb for spec in specs) or 1

    def levels(self, node: Node) -> Levels:
        """Return how a node is indexed now."""
        whole, shared = node.gpus.whole, node.gpus.shared
        share = _LEVELS if whole else max(shared.values(), default=0) * _LEVELS // GPU
        memory = node.free_memory_mb * _LEVELS // self._most_memory_mb if node.spec.memory_mb else _LEVELS
        return Levels(node.free_count if node.alive else 0, len(whole), share, memory)

    def add(self, node: Node) -> None:
        """Take in a node."""
        self.change(node.index, Levels(0, 0, 0, 0), self.levels(node))

    def change(self, node: int, before: Levels, after: Levels) -> None:
        """Note that something else is free on a node."""
        self.change_cores(node, before.cores, after.cores)
        self._gpus.change(node, before.gpus, after.gpus)
        self._share.change(node, before.share, after.share)
        self._memory.change(node, before.memory, after.memory)

    def change_cores(self, node: int, before: int, after: int) -> None:
        """Note that a node has another number of free cores, and everything else as before."""
        self._cores.change(node, before, after)

    def without(self, need: Shape) -> int:
        """Return a bitmap of nodes that have not the GPUs or the memory that one rank needs."""
        found = -1
        if need.gpus >= GPU:
            found &= self._gpus.with_at_least(need.gpus // GPU)
        elif need.gpus:
            found &= self._share.with_at_least(need.gpus * _LEVELS // GPU)
        if need.memory_mb:
            found &= self._memory.with_at_least(
                min(need.memory_mb * _LEVELS // self._most_memory_mb, _LEVELS)
            )
        return ~found

    def with_at_least(self, cores: int) -> int:
        """Return a bitmap of the nodes with so many free cores, at least 1."""
        return self._cores.with_at_least(cores)

    def fullest_last(self, cores: int, besides: int = 0) -> Iterator[int]:
        """Yield nodes with so many free cores, those with the most first; bitmap ``besides`` is left out."""
        seen = besides
        for count in range(self._cores.most, cores - 1, -1):
            found = self._cores.with_at_least(count)
            yield from numbers(found & ~seen)
            seen |= found


def numbers(bits: int) -> Iterator[int]:
    """Yield the numbers of a bitmap's bits, ascending."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
