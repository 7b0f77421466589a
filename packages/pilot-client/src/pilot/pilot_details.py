"""What is known of one pilot, read from Redis when somebody asks.

Keys of BigJob's details (``start_time``, ``last_contact``, ``bigjob_id`` …) stand beside ours.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pilot_protocol import codec, reads, signing
from pilot_protocol.specs import PilotSpec
from pilot_protocol.states import FINAL, State

from .session import Session
from .tracker import TrackedPilot

_NUMBERS = ("cores", "node_cores", "gpus", "memory_mb", "free_cores")
_TEXTS = ("nodes", "version", "protocol", "reason", "message", "job", "lrms")


def read_pilot_record(session: Session, pilot: str) -> dict[str, bytes]:
    """Return what Redis knows of a pilot; empty when it does not know it."""
    return session.query(reads.pilot(session.keys, pilot))


def open_pilot_description(session: Session, pilot: str, record: Mapping[str, bytes]) -> dict[str, Any]:
    """Return a pilot's normalized description from its record; empty when it has none.

    Raises:
        ForgedRecordError: It was not written by a client of this session.
    """
    sealed = record.get("description")
    return {} if sealed is None else codec.decode_object(session.seal.open(signing.PILOT, pilot, sealed))


def reached_states(record: Mapping[str, bytes]) -> dict[str, float]:
    """Return when a pilot reached each state, seconds since 1970 by the Redis server's clock."""
    return {str(state): int(record[f"{state}_ms"]) / 1000 for state in State if f"{state}_ms" in record}


def read_pilot_details(session: Session, pilot: TrackedPilot) -> dict[str, Any]:
    """Return everything about a pilot, see `PilotCompute.details`."""
    record = read_pilot_record(session, pilot.id)
    if "state" in record:  # the events that tell of it may still be on their way
        told = TrackedPilot(pilot.id, pilot.service, state=State(record["state"].decode()))
        session.tracker.set_pilot(told)
    description = open_pilot_description(session, pilot.id, record)
    reached = reached_states(record)
    placeholder = session.placeholders.get(pilot.id)
    found: dict[str, Any] = {
        "id": pilot.id,
        "url": session.url_of("pilot", pilot.id),
        "state": pilot.state,
        "description": description,
        "service": pilot.service,
        "service_url": description.get("service_url"),
        **{name: _text(record, name) for name in _TEXTS},
        **{name: _number(record, name) for name in _NUMBERS},
        "timestamps": reached,
        "walltime_left_s": _walltime_left(pilot, description, reached),
    }
    found["cores"] = found["cores"] or pilot.cores
    found["job"] = found["job"] or (placeholder and placeholder.job)
    found["resource_says"] = (placeholder and placeholder.news) or None
    found["nodes"] = found["nodes"].split(",") if found["nodes"] else []
    found["agent_version"] = found.pop("version")
    return found | _as_bigjob(session, pilot, reached)


def _as_bigjob(session: Session, pilot: TrackedPilot, reached: Mapping[str, float]) -> dict[str, Any]:
    end = max((reached[state] for state in reached if state in FINAL), default=None)
    return {
        "bigjob_id": pilot.id,
        "start_time": reached.get("Pending"),
        "end_queue_time": reached.get("Running"),
        "end_time": end,
        "last_contact": end or _last_contact(session, pilot.id),
    }


def _last_contact(session: Session, pilot: str) -> float | None:
    """Return when a running pilot was heard of: its lease began then."""
    lease_end = session.query(reads.lease_end(session.keys, pilot))
    return None if lease_end is None else lease_end / 1000 - session.lease_s


def _walltime_left(
    pilot: TrackedPilot, description: Mapping[str, Any], reached: Mapping[str, float]
) -> float | None:
    """Return the seconds that a running pilot has left, by this machine's clock."""
    if not description or pilot.state is not State.Running or "Running" not in reached:
        return None
    return max(0.0, reached["Running"] + PilotSpec.from_payload(description).walltime_s - time.time())


def _text(record: Mapping[str, bytes], name: str) -> str | None:
    value = record.get(name, b"")
    return value.decode("utf-8", "replace") or None


def _number(record: Mapping[str, bytes], name: str) -> int | None:
    value = record.get(name, b"")
    return int(value) if value.isdigit() else None
