"""Cores kept for the unit that goes next and does not fit: what later units may still take.

Later units may take what the nodes have beyond the needs of the unit that waits: they cannot delay it, however many they
are. Besides, :data:`MOST_OVERTAKES` of them may take cores that it waits for, so that cores do not lie idle for as long
as one old unit runs. Then nothing but the unit itself gets those cores: it starts when the units before it, those
overtakers and the few that executors already held have ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pilot_agent.unit_record import UnitRecord

from .node import Node
from .placement import GPU, WHOLE_NODES, Shape

MOST_OVERTAKES = 64


class Spare:
    """What a node has beyond the ranks for which it is kept.

    Args:
        node: The node.
        shape: Of the unit that waits.
        ranks: How many of its ranks are to run there.
    """

    def __init__(self, node: Node, shape: Shape, ranks: int) -> None:
        spec, need = node.spec, shape.rank
        self.cores = 0 if shape.policy == WHOLE_NODES else spec.cores - ranks * need.cores
        self.gpus = spec.gpus * GPU - ranks * need.gpus
        self.memory_mb = spec.memory_mb - ranks * need.memory_mb
        self._counts_memory = bool(spec.memory_mb)

    def has(self, shape: Shape) -> bool:
        """Whether a later unit of one rank fits in; a share of a GPU counts as a whole one, which it may break up."""
        gpus = -(-shape.gpus // GPU) * GPU
        has_memory = not self._counts_memory or shape.memory_mb <= self.memory_mb
        return shape.cores <= self.cores and gpus <= self.gpus and has_memory

    def change(self, shape: Shape, sign: int) -> None:
        """Count a later unit that comes in (-1) or is gone (+1)."""
        self.cores += sign * shape.cores
        self.gpus += sign * -(-shape.gpus // GPU) * GPU
        self.memory_mb += sign * shape.memory_mb


class Reservation:
    """What is kept for one unit.

    Args:
        serial: Number of this reservation, from 1.
        record: The unit that waits; it counts its overtakers itself, over all its reservations.
        shares: How many of its ranks are to run on which nodes.
        nodes: All nodes of the pilot.
        most_overtakes: How many later units may take cores that it waits for.
    """

    def __init__(
        self,
        serial: int,
        record: UnitRecord,
        shares: Mapping[int, int],
        nodes: Sequence[Node],
        most_overtakes: int = MOST_OVERTAKES,
    ) -> None:
        self.serial = serial
        self.record = record
        self.most_overtakes = most_overtakes
        self.shares = shares
        self.nodes = [nodes[index] for index in shares]
        self.bitmap = sum(1 << index for index in shares)
        """The nodes."""
        self.spares = {index: Spare(nodes[index], record.shape, ranks) for index, ranks in shares.items()}

    @property
    def overtakes_left(self) -> int:
        """How many later units may still take cores that the unit waits for."""
        return max(self.most_overtakes - self.record.overtaken, 0)

    def holds(self, node: int) -> bool:
        """Whether something is kept on this node."""
        return node in self.spares

    def has_spare(self, node: int, shape: Shape) -> bool:
        """Whether a later unit fits on a kept node, beside the one that waits."""
        return shape.ranks == 1 and shape.policy != WHOLE_NODES and self.spares[node].has(shape)

    def with_spare(self, shape: Shape) -> Iterator[Node]:
        """Yield the kept nodes on which a later unit fits beside the one that waits."""
        return (node for node in self.nodes if self.has_spare(node.index, shape))

    def enter(self, record: UnitRecord, node: int) -> None:
        """Let a later unit in beside the one that waits."""
        record.guest_of = self.serial
        self.spares[node].change(record.shape, -1)

    def leave(self, record: UnitRecord, node: int) -> None:
        """Note that a later unit is gone, if it was in by :meth:`enter`."""
        if record.guest_of == self.serial:
            record.guest_of = 0
            self.spares[node].change(record.shape, 1)
