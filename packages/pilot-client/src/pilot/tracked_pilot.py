"""A pilot as far as this process knows it, and which units it could hold. Memory only, no I/O.

The invariant: what is not known yet counts as large enough, and what is known is compared as Redis compares it when a
pilot claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pilot_protocol.specs import PilotSpec
from pilot_protocol.states import PILOT_MOVES, State, is_final


class Shape(NamedTuple):
    """What a unit needs at least: of a pilot the cores and GPUs, of one of its nodes the block and the memory."""

    cores: int
    block: int
    gpus: int
    memory_mb: int

    @classmethod
    def of(cls, queue: str) -> Shape:
        """Read the shape in a queue's name: ``owner/label/cores.block.gpus.memory/priority``."""
        return cls(*map(int, queue.split("/")[2].split(".")))


@dataclass
class TrackedPilot:
    """A pilot as far as this process knows it. Sizes are None while they are not known, or not counted."""

    id: str
    service: str
    cores: int | None = None
    """None while it holds whole nodes of unknown size."""
    state: State = State.New
    node_cores: int | None = None
    gpus: int | None = None
    memory_mb: int | None = None
    """Of one node."""
    is_measured: bool = False
    """Whether its agent has said what it holds, and that was read here."""

    @classmethod
    def asked_for(cls, pilot: str, service: str, spec: PilotSpec) -> TrackedPilot:
        """Return a pilot of which only the description is known."""
        nodes = spec.number_of_nodes or 1
        return cls(
            pilot,
            service,
            spec.cores,
            State.Pending,
            node_cores=spec.processes_per_node,
            gpus=spec.gpus_per_node * nodes if spec.number_of_nodes or not spec.gpus_per_node else None,
            memory_mb=spec.memory_per_node_mb or None,
        )

    def move(self, state: State) -> None:
        """Set the state, if the table of moves allows it."""
        if state in PILOT_MOVES[self.state]:
            self.state = state

    def learn(self, other: TrackedPilot) -> bool:
        """Take over what is newer in another picture of the same pilot; returns whether anything was."""
        before = replace(self)
        self.move(other.state)
        self.service = self.service or other.service
        self.is_measured = self.is_measured or other.is_measured
        for name in ("cores", "node_cores", "gpus", "memory_mb"):
            value = getattr(other, name)
            if value is not None:
                setattr(self, name, value)
        return self != before

    @property
    def is_live(self) -> bool:
        """Whether it runs units, or may do so later."""
        return not is_final(self.state)

    @property
    def is_to_be_measured(self) -> bool:
        """Whether its agent has said more than is known here."""
        return self.state is State.Running and not self.is_measured and None in (self.cores, self.node_cores)

    def could_run(self, shape: Shape) -> bool:
        """Tell whether a unit of this shape fits into the empty pilot."""
        return all(has is None or needs <= has for needs, has, _ in self.compare(shape))

    def compare(self, shape: Shape) -> tuple[tuple[int, int | None, str], ...]:
        """Return what a unit needs, what the pilot has of it (None: enough), and what it is."""
        return (
            (shape.cores, self.cores, "core"),
            (shape.block, self.node_cores, "core on one node"),
            (shape.gpus, self.gpus, "GPU"),
            (shape.memory_mb, self.memory_mb, "MB of memory"),
        )


class Shortage(NamedTuple):
    """What no pilot has."""

    needed: str
    largest: str
    """How much the largest pilot has."""
    pilot: TrackedPilot | None
    """That one; None where each pilot lacks something else."""

    @property
    def reason(self) -> str:
        """Say it of a unit."""
        who = "the largest pilot has" if self.pilot else "no pilot has"
        return f"needs {self.needed}, {who} {self.largest}"


def shortage(shape: Shape, pilots: Sequence[TrackedPilot]) -> Shortage | None:
    """Return what none of some pilots has that a unit of this shape needs; None when one of them could run it."""
    if any(pilot.could_run(shape) for pilot in pilots):
        return None
    every = [pilot.compare(shape) for pilot in pilots]
    for needs, _, noun in (rows[0] for rows in zip(*every, strict=True)):
        sizes = [has for row in every for _, has, its_noun in row if its_noun == noun]
        known = [has for has in sizes if has is not None]
        if len(known) == len(sizes) and needs > max(known):
            return Shortage(number(needs, noun), str(max(known)), pilots[sizes.index(max(known))])
    wanted = ", ".join(number(needs, noun) for needs, _, noun in every[0] if needs)
    return Shortage(f"{wanted} at once", "all of it", None)


def number(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where it is one."""
    if count == 1 or noun.startswith("MB"):
        return f"{count} {noun}"
    head, _, rest = noun.partition(" ")
    return f"{count} {head}s {rest}".rstrip()
