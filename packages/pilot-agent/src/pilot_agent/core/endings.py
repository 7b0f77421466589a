"""How the end of a unit is reported: pure functions from what happened to letter, reason and message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pilot_agent.node.orders import EndRecord
from pilot_agent.scheduler.node import NodeSpec
from pilot_agent.scheduler.placement import GPU, Shape
from pilot_agent.unit_record import Cause, UnitRecord

SIGTERM: Final = 15
SIGKILL: Final = 9

CANCELED: Final = Cause("C", "canceled")
DROPPED: Final = Cause("", "lost", is_hard=True)
LEASE_LOST: Final = Cause(
    "L", "lost", "the pilot could not reach Redis for as long as its lease", is_hard=True
)
EXECUTOR_DIED: Final = Cause("L", "lost", "the process that ran it died")
NODE_LOST: Final = Cause("L", "lost", "a node that some of its ranks ran on was lost")
WALLTIME_OVER: Final = Cause("L", "walltime", "the pilot's walltime ended")
NEVER_STARTED: Final = Cause("U", "")
NOT_HERE: Final = Cause("H", "")
"""The agent chose not to start it, which counts for nothing: another pilot may well."""

_NEVER_RAN = frozenset({"start", "rejected", "disk_full", "staging", "poison"})
"""Reasons of an executor that trying again on the same terms does not remove."""


def unstaged(error: str) -> Cause:
    """Return the cause for a unit whose input cannot be had; trying again on the same terms does not help."""
    return Cause("F", "staging", f"its input could not be moved in: {error}")


def undelivered(error: str) -> Cause:
    """Return the cause for a unit that ended well, but whose output cannot be delivered."""
    return Cause("F", "staging", f"its output could not be moved out: {error}")


class Verdict(NamedTuple):
    """What is reported of an end."""

    letter: str
    reason: str
    message: str


_DONE = Verdict("D", "", "")


def judge(end: EndRecord, cause: Cause | None) -> Verdict:
    """Return what to report of a unit that ended.

    Args:
        end: The executor's record.
        cause: Why the unit was told to end; None when it ended by itself.
    """
    reason = end["reason"]
    if cause is None and not reason and end["code"] == 0:
        return _DONE
    never_ran = reason in _NEVER_RAN
    if cause is not None and _outweighs(cause, end, never_ran=never_ran):
        return Verdict(cause.letter, cause.reason, cause.message)
    if never_ran:
        return Verdict("F", reason, end["message"])
    if reason == "lost":
        return Verdict("L", reason, end["message"])
    if end["code"] == 0 and not reason:
        return _DONE
    return Verdict("E", reason or ("exit" if end["signal"] is None else "signal"), end["message"])


def _outweighs(cause: Cause, end: EndRecord, *, never_ran: bool) -> bool:
    if cause.letter == CANCELED.letter:
        return True
    # Nothing exits by itself after a SIGKILL: the unit was faster than the signal.
    return not never_ran and (not cause.is_hard or end["signal"] == SIGKILL)


def out_of_time(record: UnitRecord) -> Cause:
    """Return the cause for a unit that ran longer than its own walltime."""
    minutes = f"{record.walltime_s / 60:g}"
    return Cause(
        "E", "timeout", f"compute unit {record.id} ran longer than its walltime of {minutes} minutes"
    )


def refusal(unit_id: str, shape: Shape, nodes: Sequence[NodeSpec]) -> str:
    """Return why the pilot can never run a unit of this shape, and what to do."""
    asks = f"compute unit {unit_id} asks for"
    if shape.ranks > 1:
        return f"{asks} {_refused_ranks(shape, nodes)}"
    cores, gpus, memory_mb = (max(values) for values in zip(*(node[:3] for node in nodes)))
    where = "the pilot has" if len(nodes) == 1 else "the pilot's nodes have at most"
    if shape.cores > cores:
        return f"{asks} {_cores(shape.cores)}, {where} {cores}; lower number_of_processes or submit it to a larger pilot"
    if shape.gpus > gpus * GPU:
        return f"{asks} {_gpus(shape.gpus)}, {where} {gpus}; lower gpus_per_process or submit it to a larger pilot"
    if shape.memory_mb > memory_mb:
        return f"{asks} {shape.memory_mb} MB, {where} {memory_mb} MB; lower memory_mb or submit it to a larger pilot"
    return f"{asks} cores, GPUs and memory that no single node of the pilot has together; ask for less"


def _refused_ranks(shape: Shape, nodes: Sequence[NodeSpec]) -> str:
    need = shape.rank
    parts = [_cores(need.cores)]
    if need.gpus:
        parts.append(_gpus(need.gpus))
    if need.memory_mb:
        parts.append(f"{need.memory_mb} MB")
    room = sum(node.room(shape) for node in nodes)
    has = f"the pilot's {len(nodes)} nodes have" if len(nodes) > 1 else "the pilot has"
    return (
        f"{shape.ranks} ranks of {', '.join(parts)} each, {has} room for {room}; lower number_of_processes or what each "
        "asks for, or submit it to a larger pilot"
    )


def _cores(count: int) -> str:
    return f"{count} core" if count == 1 else f"{count} cores"


def _gpus(thousandths: int) -> str:
    return f"{thousandths / GPU:g} GPU" if thousandths <= GPU else f"{thousandths / GPU:g} GPUs"
