"""What an agent's core wants done, for the head to carry out. Nothing here decides anything.

Actions come in batches, at most one of each kind per executor and event, in the order in which they are to be sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from .node.orders import EndRecord

if TYPE_CHECKING:
    from .unit_record import Cause


class ReportItem(NamedTuple):
    """News of one unit for Redis.

    Attributes:
        id: The unit.
        attempt: The attempt that this is about.
        letter: ``S`` staging, ``R`` running, ``D`` done, ``F`` failed, ``C`` canceled, ``E`` failed by itself (a retry may follow),
            ``L`` cut off, ``U`` never started, ``H`` never started because the agent chose so.
        reason: Empty for ``S``, ``R``, ``D``, ``U`` and ``H``, else one of :data:`pilot_protocol.messages.REASONS`. It holds
            even where the END says otherwise: a canceled unit may have exited with 0.
        message: For people; may be empty.
        end: The executor's record; None when there is none.
        cores: Core numbers as ``0-3,8``, those of several nodes parted by ``;``; empty when it never had any.
        nodes: Indices of its nodes; none when it never had one.
    """

    id: str
    attempt: int
    letter: str
    reason: str = ""
    message: str = ""
    end: EndRecord | None = None
    cores: str = ""
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class SendRetract:
    """Frame ``["retract", unit_ids]``."""

    executor: int
    unit_ids: list[str]


@dataclass(frozen=True)
class SendStart:
    """Frame ``["start", orders]``; to be noted in the journal before it is sent."""

    executor: int
    orders: list[dict[str, Any]]


@dataclass(frozen=True)
class SendPlace:
    """Frame ``["place", places]``: ``(id, core numbers)`` each."""

    executor: int
    places: list[tuple[str, list[int]]]


@dataclass(frozen=True)
class SendSignal:
    """Frame ``["signal", signals]``: ``(id, signal number)`` each."""

    executor: int
    signals: list[tuple[str, int]]


@dataclass(frozen=True)
class SendSweep:
    """Frame ``["sweep", sweeps]``: ``(id, attempt, signal number)`` each, for all that is of a unit on that node.

    Each is answered by an id in a :class:`~pilot_agent.events.Swept`.
    """

    executor: int
    sweeps: list[tuple[str, int, int]]


class MoveRequest(NamedTuple):
    """One thing that the mover is asked.

    Attributes:
        do: ``in``: put input into the folder; ``out``: move output out of it; ``cancel``: give up what was asked;
            ``release``: the unit has ended. The first two are answered by one :class:`~pilot_agent.events.Moved` each.
        id: The unit.
        attempt: The attempt that this is about.
        folder: Of the unit, absolute; empty where it does not matter, as are the others.
        data: Patterns of file names by data unit.
        transfers: Single transfers, as the description has them.
    """

    do: str
    id: str
    attempt: int
    folder: str = ""
    data: Mapping[str, Sequence[str]] = {}
    transfers: Sequence[str] = ()


@dataclass(frozen=True)
class SendMoves:
    """Ask the mover for these, in this order."""

    requests: Sequence[MoveRequest]


@dataclass(frozen=True)
class NoteCauses:
    """Note in the journal what outweighs the ENDs of these units, before that is reported."""

    causes: Sequence[tuple[str, int, Cause]]


@dataclass(frozen=True)
class Report:
    """Tell Redis; to be answered by one :class:`~pilot_agent.events.ReportConfirmed`. Never two at a time."""

    items: Sequence[ReportItem]


@dataclass(frozen=True)
class Claim:
    """Lease units; to be answered by one :class:`~pilot_agent.events.UnitsClaimed`. Never two at a time.

    Attributes:
        want: At most so many units.
        cores: For all of them together.
        reserve: 1: one of them may ask for more than is left of ``cores``; cores are then kept for it.
    """

    want: int
    cores: int
    reserve: int


@dataclass(frozen=True)
class WakeAt:
    """Send a :class:`~pilot_agent.events.Tick` at this time (the clock of ``now_s``); replaces an earlier wish."""

    at_s: float


@dataclass(frozen=True)
class Finish:
    """The pilot has ended: nothing runs, all is reported. The last action.

    Attributes:
        state: Final state of the pilot.
        reason: Why.
    """

    state: str
    reason: str


Action = Union[
    SendRetract,
    SendStart,
    SendPlace,
    SendSignal,
    SendSweep,
    SendMoves,
    NoteCauses,
    Report,
    Claim,
    WakeAt,
    Finish,
]
