"""What is free on all nodes of a pilot. Says what fits where; who goes next is decided elsewhere.

Invariant: the index knows for each node in use how many cores are free on it, and 0 for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from pilot_agent.core_ranges import core_ranges

from .node import Node, NodeSpec
from .node_index import Levels, NodeIndex, numbers
from .placement import PACK, SPREAD, Part, Placement, Shape, core_numbers, first_core
from .spreading import Room, even_shares, packed_shares

__all__ = ["Capacity", "Node", "NodeSpec", "Slots"]

_NAMES_KEPT = 4096


class Capacity(NamedTuple):
    """What the nodes in use have together; ``node_cores`` is the largest one's, ``memory_mb`` too (0: not counted)."""

    cores: int
    node_cores: int
    gpus: int
    memory_mb: int


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
        self.free_cores = 0
        """On nodes that have an executor."""
        self.gone: set[int] = set()
        """Nodes that will not come back."""
        self._index = NodeIndex(specs)
        for node in self.nodes:
            self._index.add(node)
            self.free_cores += node.free_count
        self._possible: dict[Shape, bool] = {}
        self._numbers: dict[int, list[int]] = {}
        self._texts: dict[int, str] = {}

    def _show(self, node: Node) -> None:
        self._index.change_cores(node.index, 0, node.free_count)
        self.free_cores += node.free_count

    def _hide(self, node: Node) -> None:
        self._index.change_cores(node.index, node.free_count, 0)
        self.free_cores -= node.free_count

    # --- taking and giving ---

    def take(self, shape: Shape, besides: int = 0) -> Placement | None:
        """Take what a unit needs; None when it is not free.

        Args:
            shape: The needs.
            besides: Bitmap of nodes that are left out.
        """
        if shape.cores > self.free_cores:
            return None
        if shape.gpus or shape.memory_mb:
            besides |= self._index.without(shape.rank)
        shares = self._shares(shape, besides)
        return self._take_shares(shape, shares) if shares else None

    def take_on(self, node: Node, shape: Shape) -> Placement | None:
        """Take what a unit of one rank needs on this node; None when that is not free."""
        return Placement(*self._take_part(node, shape, 1)) if shape.ranks == 1 and node.room(shape) else None

    def take_on_first(self, nodes: Iterable[Node], shape: Shape) -> Placement | None:
        """Take what a unit of one rank needs on the first of these nodes that has it; None when none has."""
        return next(filter(None, (self.take_on(node, shape) for node in nodes)), None)

    def _shares(self, shape: Shape, besides: int) -> list[tuple[int, int]]:
        """Return how many ranks go to which nodes; nothing when there is no room for all."""
        if shape.ranks == 1:
            return [(node.index, 1) for node in islice(self._with_room(shape, besides), 1)]
        if shape.policy == SPREAD:
            return even_shares(self._rooms(shape, besides), shape.ranks)
        fitting = numbers(self._index.with_at_least(shape.cores) & ~besides)
        one = next((index for index in fitting if self.nodes[index].room(shape) >= shape.ranks), -1)
        if one >= 0:
            return [(one, shape.ranks)]
        return packed_shares(self._rooms(shape, besides), shape.ranks)

    def _with_room(self, shape: Shape, besides: int) -> Iterator[Node]:
        """Yield nodes that could take a unit of one rank: the first one first, or the emptiest if it shall be empty."""
        if shape.policy == PACK:
            found = numbers(self._index.with_at_least(shape.cores) & ~besides)
        else:
            found = self._index.fullest_last(shape.cores, besides)
        return (self.nodes[index] for index in found if self.nodes[index].room(shape))

    def _rooms(self, shape: Shape, besides: int) -> Iterator[Room]:
        """Yield nodes and how many ranks fit there, those with the most free cores first."""
        for index in self._index.fullest_last(shape.rank.cores, besides):
            room = self.nodes[index].room(shape)
            if room:
                yield Room(index, room)

    def _take_shares(self, shape: Shape, shares: list[tuple[int, int]]) -> Placement:
        if len(shares) == 1:
            index, ranks = shares[0]
            return Placement(*self._take_part(self.nodes[index], shape, ranks))
        return Placement.of(
            [self._take_part(self.nodes[index], shape, ranks) for index, ranks in sorted(shares)]
        )

    def _take_part(self, node: Node, shape: Shape, ranks: int) -> Part:
        before = self._index.levels(node) if shape.gpus or shape.memory_mb else None
        free = node.free_count
        part = node.take(shape, ranks)
        self._note(node, free, before)
        return part

    def give(self, placement: Placement, shape: Shape) -> None:
        """Take back what a unit of this shape held."""
        for part in placement.parts:
            self._give_part(self.nodes[part.node], part, shape)

    def _give_part(self, node: Node, part: Part, shape: Shape) -> None:
        before = self._index.levels(node) if shape.gpus or shape.memory_mb else None
        free = node.free_count
        node.give(part, shape)
        self._note(node, free, before)

    def give_gpus_and_memory(self, part: Part, shape: Shape) -> None:
        """Take back all but the cores, which are another unit's now."""
        node = self.nodes[part.node]
        before = self._index.levels(node)
        node.give_gpus_and_memory(part, shape)
        self._index.change(node.index, before, self._index.levels(node))

    def _note(self, node: Node, free: int, before: Levels | None) -> None:
        """Bring the index up to date; ``before`` is None where nothing but the number of cores can have changed."""
        if before is not None:
            self._index.change(node.index, before, self._index.levels(node))
        elif node.alive:
            self._index.change_cores(node.index, free, node.free_count)
        if node.alive:
            self.free_cores += node.free_count - free

    # --- what is there ---

    def executor_of(self, part: Part | Placement) -> int:
        """Return the executor that serves a part, or the first part of a placement: the owner of its first core."""
        return self.nodes[part.node].owners[first_core(part.cores)]

    def roomiest(self, shape: Shape) -> dict[int, int]:
        """Return how many ranks of a unit to keep cores for on which nodes: those that have the most free."""
        used = (node for node in self._by_free_cores() if node.spec.room(shape))
        rooms = (Room(node.index, node.spec.room(shape)) for node in used)
        ranks = shape.ranks
        return dict(even_shares(rooms, ranks) if shape.policy == SPREAD else packed_shares(rooms, ranks))

    def _by_free_cores(self) -> Iterator[Node]:
        seen = 0
        for index in self._index.fullest_last(1):
            seen |= 1 << index
            yield self.nodes[index]
        yield from (node for node in self.nodes if node.alive and not seen >> node.index & 1)

    def fits_ever(self, shape: Shape) -> bool:
        """Whether the nodes that are not gone could run the unit if nothing else ran."""
        known = self._possible.get(shape)
        if known is None:
            if len(self._possible) >= _NAMES_KEPT:
                self._possible.clear()
            nodes = (node for node in self.nodes if node.index not in self.gone)
            known = self._possible[shape] = can_hold((node.spec for node in nodes), shape)
        return known

    def fits_with_all(self, shape: Shape) -> bool:
        """Whether all nodes, those that are gone as well, could run the unit if nothing else ran."""
        return self.fits_ever(shape) or (
            bool(self.gone) and can_hold((node.spec for node in self.nodes), shape)
        )

    def capacity(self) -> Capacity:
        """Return what the nodes that are not gone have."""
        specs = [node.spec for node in self.nodes if node.index not in self.gone]
        return Capacity(
            sum(spec.cores for spec in specs),
            max((spec.cores for spec in specs), default=0),
            sum(spec.gpus for spec in specs),
            max((spec.memory_mb for spec in specs), default=0),
        )

    # --- executors come and go ---

    def lose_executor(self, executor: int) -> None:
        """Let the other executors of its node serve its cores; without any, the node is out of use."""
        node = self.node_of_executor[executor]
        if executor not in node.alive:
            return
        if len(node.alive) == 1:
            self._hide(node)
        node.alive.remove(executor)
        node.assign_owners()

    def revive_executor(self, executor: int) -> None:
        """Give an executor its cores again."""
        node = self.node_of_executor[executor]
        if executor in node.alive:
            return
        if not node.alive:
            self._show(node)
        node.alive = sorted([*node.alive, executor])
        node.assign_owners()
        if node.index in self.gone:
            self.gone.remove(node.index)
            self._possible.clear()

    def is_up(self, executor: int) -> bool:
        """Whether an executor can be told anything."""
        return executor in self.node_of_executor[executor].alive

    def give_up_node(self, executor: int) -> None:
        """Note that the node of a lost executor will not come back."""
        self.gone.add(self.node_of_executor[executor].index)
        self._possible.clear()

    # --- names ---

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

    def texts(self, placement: Placement) -> str:
        """Return the cores of a placement, those of several nodes parted by ``;``."""
        if not placement.others:
            return self.text(placement.cores)
        return ";".join(self.text(part.cores) for part in placement.parts)


def can_hold(specs: Iterable[NodeSpec], shape: Shape) -> bool:
    """Tell whether empty nodes could run a unit."""
    left = shape.ranks
    for spec in specs:
        left -= spec.room(shape)
        if left <= 0:
            return True
    return False
