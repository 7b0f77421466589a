"""Where a unit stands: nodes, cores as bitmaps (bit n is core n), GPUs by id. Pure arithmetic, no bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pilot_protocol.specs import GPU_PARTS, PLACEMENTS

GPU: Final = GPU_PARTS
"""A whole GPU: they are counted in thousandths, since units may share one."""

PACK, SPREAD, WHOLE_NODES = PLACEMENTS


class Shape(NamedTuple):
    """What a unit needs; units of one shape are interchangeable for the scheduler.

    Attributes:
        cores: In all.
        gpus: Thousandths of GPUs in all: whole GPUs for each rank, or a share of one.
        memory_mb: In all.
        ranks: Equal parts that may be on different nodes; 1 for every unit that is one program.
        policy: ``pack``: as few nodes as possible; ``spread``: as many as possible; ``whole_nodes``: nodes for itself.
    """

    cores: int
    gpus: int = 0
    memory_mb: int = 0
    ranks: int = 1
    policy: str = PACK

    @property
    def is_plain(self) -> bool:
        """Whether any core that becomes free will do."""
        return self == PLAIN

    @property
    def rank(self) -> Shape:
        """What one rank needs; memory is rounded up."""
        if self.ranks == 1:
            return self
        return Shape(self.cores // self.ranks, self.gpus // self.ranks, -(-self.memory_mb // self.ranks))


PLAIN: Final = Shape(1)


class Part(NamedTuple):
    """What a unit holds of one node.

    Attributes:
        node: Its index.
        cores: Bitmap.
        gpus: Ids of whole GPUs; of shared ones the id of each rank's.
        ranks: How many run there.
    """

    node: int
    cores: int
    gpus: tuple[int, ...] = ()
    ranks: int = 1


class Placement(NamedTuple):
    """What a unit holds: the part of its first node, and those of others, in the order of its ranks, which is that of nodes."""

    node: int
    cores: int
    """Bitmap."""
    gpus: tuple[int, ...] = ()
    ranks: int = 1
    others: tuple[Part, ...] = ()

    @classmethod
    def of(cls, parts: list[Part]) -> Placement:
        """Return the placement of parts, the first of which is the node where the unit is started."""
        return cls(*parts[0], tuple(parts[1:]))

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it holds of each of its nodes."""
        return (self.first, *self.others) if self.others else (self.first,)

    @property
    def first(self) -> Part:
        """What it holds of its first node."""
        return Part(self.node, self.cores, self.gpus, self.ranks)

    @property
    def nodes(self) -> tuple[int, ...]:
        """Indices of its nodes."""
        return (self.node, *(part.node for part in self.others)) if self.others else (self.node,)


class RankSlot(NamedTuple):
    """Where one rank of a unit runs."""

    node: int
    cores: list[int]
    gpus: tuple[int, ...]


def rank_slots(placement: Placement, shape: Shape) -> list[RankSlot]:
    """Return where each rank runs: node by node, cores and GPUs ascending."""
    return [slot for part in placement.parts for slot in _slots_of(part, shape)]


def _slots_of(part: Part, shape: Shape) -> Iterator[RankSlot]:
    width, gpus = shape.cores // shape.ranks, shape.gpus // shape.ranks
    cores = core_numbers(part.cores)
    each = max(gpus // GPU, 1) if gpus else 0
    for rank in range(part.ranks):
        own = cores[rank * width : (rank + 1) * width]
        yield RankSlot(part.node, own, part.gpus[rank * each : (rank + 1) * each])


def choose_cores(free: int, count: int) -> int:
    """Return a bitmap of ``count`` of the ``free`` cores: neighbors where there are enough, the lowest otherwise.

    ``free`` must have at least ``count`` bits.
    """
    if count == 1:
        return free & -free
    starts, length = free, 1  # bits from which `length` free cores follow one another
    while length < count and starts:
        step = min(length, count - length)
        starts &= starts >> step
        length += step
    if starts:
        return ((1 << count) - 1) * (starts & -starts)
    return _lowest(free, count)


def _lowest(free: int, count: int) -> int:
    chosen = 0
    for _ in range(count):
        core = free & -free
        chosen |= core
        free ^= core
    return chosen


def first_core(cores: int) -> int:
    """Return the number of the lowest core of a bitmap that is not empty."""
    return (cores & -cores).bit_length() - 1


def core_numbers(cores: int) -> list[int]:
    """Return the numbers of a bitmap's cores, ascending."""
    numbers = []
    while cores:
        core = cores & -cores
        numbers.append(core.bit_length() - 1)
        cores ^= core
    return numbers
