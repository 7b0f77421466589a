"""What is known of one pilot, read from Redis when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pilot_protocol import reads
from pilot_protocol.specs import PilotSpec
from pilot_protocol.states import State, is_final

from .following import pilot_spec
from .session import Session
from .tracker import TrackedPilot

_NUMBERS = ("cores", "node_cores", "gpus", "memory_mb", "free_cores")
_TEXTS = ("nodes", "version", "protocol", "reason", "message", "job")


def read_pilot_details(session: Session, pilot: TrackedPilot) -> dict[str, Any]:
    """Return everything about a pilot, see `PilotCompute.details`."""
    record = session.query(reads.pilot(session.keys, pilot.id))
    spec = pilot_spec(session, pilot.id, record.get("description"))
    placeholder = session.placeholders.get(pilot.id)
    reached = _timestamps(record)
    found: dict[str, Any] = {
        "id": pilot.id,
        "url": session.url_of("pilot", pilot.id),
        "state": pilot.state,
        "service": pilot.service,
        "service_url": spec and spec.service_url,
        **{name: _text(record, name) for name in _TEXTS},
        **{name: _number(record, name) for name in _NUMBERS},
        "timestamps": reached,
        "walltime_left_s": _walltime_left(pilot, spec, reached),
        "start_time": reached.get("Pending"),
        "end_queue_time": reached.get("Running"),
        "end_time": max((reached[state] for state in reached if is_final(State(state))), default=None),
    }
    found["cores"] = found["cores"] or pilot.cores
    found["job"] = found["job"] or (placeholder and placeholder.job)
    found["nodes"] = (found["nodes"] or "").split()
    found["agent_version"] = found.pop("version")
    return found


def _timestamps(record: Mapping[str, bytes]) -> dict[str, float]:
    """Return when each state was reached, seconds since 1970 by the Redis server's clock."""
    return {str(state): int(record[f"{state}_ms"]) / 1000 for state in State if f"{state}_ms" in record}


def _walltime_left(pilot: TrackedPilot, spec: PilotSpec | None, reached: Mapping[str, float]) -> float | None:
    """Return the seconds that a running pilot has left, by this machine's clock."""
    if spec is None or pilot.state is not State.Running or "Running" not in reached:
        return None
    return max(0.0, reached["Running"] + spec.walltime_s - time.time())


def _text(record: Mapping[str, bytes], name: str) -> str | None:
    value = record.get(name, b"")
    return value.decode("utf-8", "replace") or None


def _number(record: Mapping[str, bytes], name: str) -> int | None:
    value = record.get(name, b"")
    return int(value) if value.isdigit() else None
