"""What is known of one compute unit, read from Redis when somebody asks and checked against its seal.

Keys of BigJob's details (``start_time``, ``run_host``, ``Executable`` …) stand beside ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilot_protocol import data_ops, reads, signing, unit_payloads
from pilot_protocol.messages import UnitRecord, UnitResult, seal_name
from pilot_protocol.placements import Placement
from pilot_protocol.specs import UnitSpec
from pilot_protocol.states import State, UnitLetter, is_final
from pilot_session.coordination_url import is_id

from .data_lookup import read_awaited, read_placement
from .data_waits import AwaitedData
from .pending_reason import pending_reason
from .pilot_details import reached_states, read_pilot_record
from .session import Session

_LOST = "the Redis server lost its record; submit it again"
_MESSAGES = {
    "lost": "its pilot was lost",
    "canceled": "",
    "poison": "it was handed out too often and never started",
    "dependency": "predecessor {} did not end well",
}
"""What a script means by its word for a unit that it ended itself."""


def read_record(session: Session, unit: str) -> UnitRecord | None:
    """Return a unit's progress; None when Redis does not know it."""
    return session.query(reads.units(session.keys, [unit]))[0]


def read_result(session: Session, unit: str) -> UnitResult:
    """Return how a unit ended; one that was never started has a reason and nothing else.

    Raises:
        ForgedRecordError: The result was not written by an agent of this session.
    """
    record = read_record(session, unit)
    if record is None:
        return UnitResult(reason="lost", message=_LOST)
    sealed = session.query(reads.results(session.keys, [unit]))[0]
    if sealed is not None:
        name = seal_name(unit, record.attempt)
        return UnitResult.from_bytes(session.seal.open(signing.RESULT, name, sealed))
    reason = session.query(reads.reasons(session.keys, [unit]))[0] or ""
    word, _, culprit = reason.partition(" ")
    if is_id("du", culprit):
        return UnitResult(reason=word, message=_why_no_data(session, culprit))
    return UnitResult(reason=word, message=_MESSAGES.get(word, "").format(culprit))


def _why_no_data(session: Session, data_unit: str) -> str:
    """Return why a data unit does not come that a unit was to read."""
    writer = session.query(data_ops.spoilt(session.keys, [data_unit]))[0]
    state, reason = session.query(data_ops.data_unit_state(session.keys, data_unit))
    why = (
        f"compute unit {writer} was to add files to it, and has not ended well"
        if writer
        else f"it is {state}"
    )
    return f"data unit {data_unit}, which it reads, cannot come: {why}" + (f"; {reason}" if reason else "")


def read_description(session: Session, unit: str) -> dict[str, Any]:
    """Return a unit's normalized description; empty when Redis does not know it.

    Raises:
        ForgedRecordError: It was not written by a client of this session.
    """
    sealed = session.query(reads.descriptions(session.keys, [unit]))[0]
    if sealed is None:
        return {}
    digest = unit_payloads.template_of(sealed)
    record = session.query(reads.templates(session.keys, [digest]))[0] if digest else None
    templates = {} if record is None else {digest: unit_payloads.open_template(session.seal, digest, record)}
    return unit_payloads.unpack(session.seal, unit, sealed, templates)


def read_details(session: Session, unit: str, state: State, result: UnitResult | None) -> dict[str, Any]:
    """Return everything about a unit, see `ComputeUnit.details`.

    Args:
        session: The unit's.
        unit: Its id.
        state: As this process knows it.
        result: How it ended; None while it has not.
    """
    description = read_description(session, unit)
    record = read_record(session, unit)
    found = {
        "id": unit,
        "url": session.url_of("unit", unit),
        "state": state,
        "description": description,
        **(_progress(record) if record else _NO_PROGRESS),
        **_end(result or _NO_RESULT),
    }
    placement = read_placement(session, unit) if description.get("input_data") else None
    found["placement"] = _placement(placement)
    if result is None and record is not None:
        found["reason"] = _why_pending(session, unit, record, placement)
    found["timestamps"] = _timestamps(found)
    found["agent_start_time"] = _agent_start(session, found["pilot"], found["submitted"])
    return found | _as_bigjob(found, UnitSpec.from_payload({"executable": "", **description}))


_NO_PROGRESS: dict[str, Any] = {"pilot": None, "attempts": 0, "submitted": None}
_NO_RESULT = UnitResult()


def _progress(record: UnitRecord) -> dict[str, Any]:
    return {
        "pilot": record.pilot or None,
        "attempts": record.attempt,
        "submitted": _seconds(record.submitted_ms),
        "retries_left": record.retries_left,
        "restarts_left": record.restarts_left,
    }


def _why_pending(session: Session, unit: str, record: UnitRecord, placement: Placement | None) -> str:
    waiting = session.query(reads.open_predecessors(session.keys, [unit]))[0] or 0
    data = _awaited(session, unit, placement) if record.letter == UnitLetter.WAITING else []
    return pending_reason(record, waiting, session.tracker.pilots_for(record.queue.partition("/")[0]), data)


def _awaited(session: Session, unit: str, placement: Placement | None) -> list[AwaitedData]:
    """Return the data units, and the copies of them, that a unit needs before it may run."""
    data = read_awaited(session, [unit]).get(unit, [])
    if placement is None or placement.kind != "copy":
        return data
    by_name = {one.id: one for one in data}
    return data + [by_name[name].at(place) for name, place in placement.copies if name in by_name]


def _placement(placement: Placement | None) -> dict[str, Any] | None:
    if placement is None:
        return None
    return {
        "kind": placement.kind,
        "site": placement.site,
        "bytes": placement.bytes,
        "copies": [list(copy) for copy in placement.copies],
        "costs": placement.costs,
    }


def _end(result: UnitResult) -> dict[str, Any]:
    return {
        "exit_code": result.exit_code,
        "signal": result.signal,
        "reason": result.reason,
        "message": result.message,
        "node": result.node or None,
        "nodes": result.node.split(",") if result.node else [],
        "cores": result.cores or None,
        "working_directory": result.working_directory or None,
        "stdout_file": result.stdout_file or None,
        "stderr_file": result.stderr_file or None,
        "started": _seconds(result.started_ms),
        "ended": _seconds(result.ended_ms),
        "usage": {
            "user_s": result.user_s,
            "system_s": result.system_s,
            "peak_memory_kb": result.peak_memory_kb,
        },
    }


def _timestamps(found: Mapping[str, Any]) -> dict[str, float]:
    """Return when each state was reached, seconds since 1970 by the Redis server's clock."""
    reached = {State.Pending: found["submitted"], State.Running: found["started"]}
    if is_final(found["state"]):
        reached[found["state"]] = found["ended"]
    return {str(state): moment for state, moment in reached.items() if moment is not None}


def _agent_start(session: Session, pilot: str | None, submitted: float | None) -> float | None:
    """Return since when the agent of a unit's pilot could have taken it."""
    started = reached_states(read_pilot_record(session, pilot)).get("Running") if pilot else None
    return started and max(started, submitted or started)


def _as_bigjob(found: Mapping[str, Any], spec: UnitSpec) -> dict[str, Any]:
    return {
        "start_time": found["submitted"],
        "end_queue_time": found["started"],
        "end_time": found["ended"],
        "run_host": found["node"],
        "Executable": spec.executable,
        "Arguments": list(spec.arguments),
        "Environment": [f"{name}={value}" for name, value in spec.environment.items()],
        "NumberOfProcesses": spec.number_of_processes,
        "SPMDVariation": spec.spmd_variation,
        "WorkingDirectory": found["working_directory"] or spec.working_directory,
        "Output": spec.output,
        "Error": spec.error,
    }


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds else None
