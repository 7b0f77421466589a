"""What happens to an agent, as the head tells its core. Nothing here decides anything.

Events come in batches, as frames and replies do. Lists inside them are taken as they were decoded from JSON. Times are
no part of an event: :meth:`pilot_agent.core.AgentCore.handle` gets the time of its arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Union

from .actions import ReportItem
from .unit_data import UnitData


class UnitRequest(Protocol):
    """What the core reads of a unit's description."""

    @property
    def cores(self) -> int:
        """Processes times threads."""

    @property
    def gpu_thousandths(self) -> int:
        """Thousandths of GPUs in all."""

    @property
    def ranks(self) -> int:
        """Equal parts that may be on different nodes."""

    @property
    def is_mpi(self) -> bool:
        """Whether its processes are the ranks of one MPI program."""

    @property
    def placement(self) -> str:
        """Policy by which nodes are chosen."""

    @property
    def memory_mb(self) -> int | None:
        """Memory in all; None or 0 when nothing was said."""

    @property
    def priority(self) -> int:
        """Higher goes first."""

    @property
    def walltime(self) -> float | None:
        """Longest run in minutes; None for no limit."""

    @property
    def max_restarts(self) -> int:
        """0 for at most once."""


class ClaimedUnit(NamedTuple):
    """A unit that Redis leased to this agent.

    Attributes:
        id: The unit.
        attempt: Which attempt this is.
        spec: What it asks for.
        order: What the executor needs. The core owns it from now on and adds ``attempt``, ``width`` (number of cores),
            ``cores`` (core numbers on the first node; None for a chained order), ``gpus`` (their ids there) where GPUs
            were asked for, ``alone`` where no chained unit may start on its cores when it ends, and for an MPI unit
            ``ranks``: node, core numbers and GPU ids of each rank.
        data: What is moved in before it starts and out after it has ended; None for a unit without data.
    """

    id: str
    attempt: int
    spec: UnitRequest
    order: dict[str, Any]
    data: UnitData | None = None


@dataclass(frozen=True)
class UnitsClaimed:
    """The reply to :class:`~pilot_agent.actions.Claim`; exactly one per claim.

    Attributes:
        units: What was leased.
        rejected: Reports of leased units that can never run (forged, unreadable), letter ``F``, reason ``rejected``.
    """

    units: Sequence[ClaimedUnit]
    rejected: Sequence[ReportItem] = ()


@dataclass(frozen=True)
class ExecutorEvents:
    """One ``events`` frame of an executor.

    Attributes:
        executor: Its index.
        started: ``[id, attempt, pid, time]`` of units that run.
        ended: ``[id, attempt, END, next id or None]``, in the order in which they ended; the next one took over the
            cores.
        retracted: Ids of chained units that did not start and never will.
    """

    executor: int
    started: Sequence[Sequence[Any]] = ()
    ended: Sequence[Sequence[Any]] = ()
    retracted: Sequence[str] = ()


@dataclass(frozen=True)
class Swept:
    """An executor has seen to it that nothing is left of MPI units on its node: one answer for each sweep of a unit."""

    executor: int
    unit_ids: Sequence[str]


@dataclass(frozen=True)
class Moved:
    """The mover's answer to a request of an attempt.

    Attributes:
        unit_id: The unit.
        attempt: Its attempt.
        did: ``in`` or ``out``.
        error: Why it could not be done; empty if it was.
        is_stale: Whether that is because Redis takes the attempt for nobody's, or for another pilot's.
    """

    unit_id: str
    attempt: int
    did: str
    error: str = ""
    is_stale: bool = False


@dataclass(frozen=True)
class ReportConfirmed:
    """Redis answered the report that was under way.

    Attributes:
        outcomes: One digit of :mod:`pilot_protocol.unit_ops` per item, in the order of the items.
    """

    outcomes: str


@dataclass(frozen=True)
class ReportsFound:
    """Reports that are not the core's own: ends found in the journal after a restart.

    Those that say what is to be delivered are delivered first, like any other.
    """

    items: Sequence[ReportItem]


@dataclass(frozen=True)
class ServerForgot:
    """Redis may have forgotten what it confirmed: it came back with another run id, or does not know this agent.

    Attributes:
        ends: What was said lately of units that are not here any more. What runs, the core says by itself.
    """

    ends: Sequence[ReportItem]


@dataclass(frozen=True)
class CancelRequested:
    """A client canceled units. Unknown ids are passed over: their report may be on its way."""

    unit_ids: Sequence[str]


@dataclass(frozen=True)
class Tick:
    """The time asked for by :class:`~pilot_agent.actions.WakeAt` has come."""


@dataclass(frozen=True)
class Doorbell:
    """There may be new work in Redis."""


@dataclass(frozen=True)
class DrainRequested:
    """Start nothing more, let what runs end, then finish as ``Done``."""

    reason: str = "drain"


@dataclass(frozen=True)
class StopRequested:
    """End everything: SIGTERM, after the grace SIGKILL, then finish.

    Attributes:
        state: Final state of the pilot, if it holds units; a pilot without work to do ends ``Done``.
        reason: Why, for the pilot.
        letter: How units are reported whose run is cut off: ``L`` sends them elsewhere under ``max_restarts``.
        unit_reason: Their reason.
    """

    state: str = "Canceled"
    reason: str = "canceled"
    letter: str = "L"
    unit_reason: str = "lost"


@dataclass(frozen=True)
class LeaseEnded:
    """The lease may have ended without Redis being reached: other pilots may now start this one's units."""


@dataclass(frozen=True)
class Fenced:
    """Redis says that these units are this agent's no longer: they end at once and are not reported."""

    unit_ids: Sequence[str]


@dataclass(frozen=True)
class LinkBack:
    """Redis is reached again and knows what this agent holds; a claim under way is void, a report is sent again."""


@dataclass(frozen=True)
class ExecutorSilent:
    """The connection to an executor of another node has ended; what became of its units is not known yet.

    :class:`ExecutorLost` follows.
    """

    executor: int


@dataclass(frozen=True)
class ExecutorLost:
    """An executor died, and the processes it left are dead.

    Attributes:
        executor: Its index.
        ended: ``[id, attempt, END]`` from its journal, in order, as far as they were not told before.
        begun: ``[id, attempt]`` of chained units that it had begun, likewise.
    """

    executor: int
    ended: Sequence[Sequence[Any]] = ()
    begun: Sequence[Sequence[Any]] = ()


@dataclass(frozen=True)
class ExecutorUp:
    """A new executor has taken the place of one that was lost."""

    executor: int


@dataclass(frozen=True)
class NodeGone:
    """No new executor will take the place of the one that was lost; :class:`ExecutorUp` would take that back."""

    executor: int


Event = Union[
    UnitsClaimed,
    ExecutorEvents,
    Swept,
    Moved,
    ReportConfirmed,
    ReportsFound,
    CancelRequested,
    Tick,
    Doorbell,
    DrainRequested,
    StopRequested,
    LeaseEnded,
    Fenced,
    LinkBack,
    ServerForgot,
    ExecutorSilent,
    ExecutorLost,
    ExecutorUp,
    NodeGone,
]
