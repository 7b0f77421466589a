"""What an agent remembers of a unit from claim to end. No decisions; the core and the scheduler write it.

Invariant: a unit is in exactly one phase, and the phase says where else it is kept:

    STAGING     among those whose input is on its way: no cores, and not in the queue for any
    WAITING     in the waiting queue
    CONFIRMING  on a slot, waiting for Redis to confirm that it may start (at-most-once units)
    CHAINED     with an executor, to start on the cores of the next unit of its width that ends there
    PLACED      on a slot, its executor was told: it runs, or will before the executor reads anything else
    SWEEPING    on its slot, ended on its first node; the others see to it that nothing is left of it there
    ASIDE       among those that the pilot will not start, until it goes back to Redis
    GONE        nowhere; its end may have to wait until its output is delivered
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .events import ClaimedUnit, UnitRequest
from .node.orders import EndRecord
from .scheduler.placement import WHOLE_NODES, Placement, Shape
from .unit_data import UnitData

STAGING: Final = "staging"
WAITING: Final = "waiting"
CONFIRMING: Final = "confirming"
CHAINED: Final = "chained"
PLACED: Final = "placed"
SWEEPING: Final = "sweeping"
ASIDE: Final = "aside"
GONE: Final = "gone"


class Cause(NamedTuple):
    """Why a unit was told to end before it ended by itself.

    Attributes:
        letter: How its end is reported; empty: not at all.
        reason: The reason that is reported.
        message: For people.
        is_hard: Told by SIGKILL instead of SIGTERM.
    """

    letter: str
    reason: str
    message: str = ""
    is_hard: bool = False


def _shape_of(spec: UnitRequest) -> Shape:
    return Shape(spec.cores, spec.gpu_thousandths, spec.memory_mb or 0, spec.ranks, spec.placement)


class UnitRecord:
    """One attempt of a unit. Mutable and slotted: there are thousands per second."""

    __slots__ = (
        "arrival", "attempt", "cause", "data", "end", "executor", "far_executors", "guest_of", "id", "is_alone", "is_chainable", "is_mpi",
        "is_once", "is_reported", "is_retracting", "is_told_to_end", "newer", "order", "overtaken", "phase",
        "placement", "rank", "running_s", "shape", "sweeps", "timers", "walltime_s",
    )  # fmt: skip

    def __init__(self, unit: ClaimedUnit, arrival: int) -> None:
        """Take over a claimed unit as the ``arrival``-th."""
        spec = unit.spec
        self.id = unit.id
        self.attempt = unit.attempt
        self.order: dict[str, Any] | None = unit.order
        """None once the executor has it for good."""
        self.data: UnitData | None = unit.data  # what is moved in and out for it
        self.shape = shape = _shape_of(spec)
        self.is_mpi = spec.is_mpi
        self.is_alone = spec.is_mpi or shape.policy == WHOLE_NODES
        """Whether no other unit starts on its cores in the turn in which it ends."""
        self.rank = -spec.priority
        self.arrival = arrival
        self.walltime_s = spec.walltime * 60.0 if spec.walltime else 0.0
        """0 for no limit."""
        self.is_once = spec.max_restarts == 0
        self.is_chainable = not (self.is_once or shape.gpus or shape.memory_mb or self.is_alone)
        """An executor hands over cores only, and starts without asking."""
        self.phase = WAITING
        self.executor = -1
        self.placement: Placement | None = None
        self.far_executors: tuple[int, ...] = ()
        """Those of its nodes other than the first."""
        self.cause: Cause | None = None
        self.is_told_to_end = False
        self.is_retracting = False
        self.is_reported = False
        """Whether Redis was told that it runs."""
        self.running_s = 0.0
        """When the core heard that it runs."""
        self.guest_of = 0
        """Serial of the reservation beside whose cores it runs; 0 for none."""
        self.overtaken = 0
        """How many later units have taken cores that it waits for."""
        self.timers = 0
        """Entries of its own among the deadlines."""
        self.end: EndRecord | None = None
        """How it ended on its first node, while its other nodes are being swept."""
        self.sweeps: dict[int, int] = {}  # answers to sweeps that are missing, by executor
        self.newer: ClaimedUnit | None = None
        """A later attempt, which waits until this one is gone."""

    def __repr__(self) -> str:
        return f"<{self.id}:{self.attempt} {self.phase} {tuple(self.shape)} {self.placement}>"

    def goes_before(self, other: UnitRecord) -> bool:
        """Whether it is ahead of ``other``: by priority, then by order of arrival."""
        return (self.rank, self.arrival) < (other.rank, other.arrival)
