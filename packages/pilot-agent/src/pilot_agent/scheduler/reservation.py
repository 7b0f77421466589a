"""Cores kept for the unit that goes next and does not fit: what later units may still take.

Later units may take what the node has beyond the needs of the unit that waits: they cannot delay it, however many they
are. Besides, :data:`MOST_OVERTAKES` of them may take cores that it waits for, so that cores do not lie idle for as long
as one old unit runs. Then nothing but the unit itself gets those cores: it starts when the units before it, those
overtakers and the few that executors already held have ended.
"""

from __future__ import annotations

from pilot_agent.unit_record import UnitRecord

from .placement import Shape
from .slots import Node

MOST_OVERTAKES = 64


class Reservation:
    """What is kept for one unit on one node.

    Args:
        serial: Number of this reservation, from 1.
        record: The unit that waits; it counts its overtakers itself, over all its reservations.
        node: Where it is to start.
        most_overtakes: How many later units may take cores that it waits for.
    """

    def __init__(
        self, serial: int, record: UnitRecord, node: Node, most_overtakes: int = MOST_OVERTAKES
    ) -> None:
        self.serial = serial
        self.record = record
        self.node = node
        self.most_overtakes = most_overtakes
        spec, shape = node.spec, record.shape
        self.spare_cores = spec.cores - shape.cores
        self.spare_gpus = spec.gpus - shape.gpus
        self.spare_memory_mb = spec.memory_mb - shape.memory_mb

    @property
    def overtakes_left(self) -> int:
        """How many later units may still take cores that the unit waits for."""
        return max(self.most_overtakes - self.record.overtaken, 0)

    def has_spare(self, shape: Shape) -> bool:
        """Whether a later unit fits beside the one that waits."""
        has_memory = not self.node.spec.memory_mb or shape.memory_mb <= self.spare_memory_mb
        return shape.cores <= self.spare_cores and shape.gpus <= self.spare_gpus and has_memory

    def enter(self, record: UnitRecord) -> None:
        """Let a later unit in beside the one that waits."""
        record.guest_of = self.serial
        self._change(record.shape, 1)

    def leave(self, record: UnitRecord) -> None:
        """Note that a later unit is gone, if it was in by :meth:`enter`."""
        if record.guest_of == self.serial:
            record.guest_of = 0
            self._change(record.shape, -1)

    def _change(self, shape: Shape, sign: int) -> None:
        self.spare_cores -= sign * shape.cores
        self.spare_gpus -= sign * shape.gpus
        self.spare_memory_mb -= sign * shape.memory_mb
