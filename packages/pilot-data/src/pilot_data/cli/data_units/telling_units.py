"""How data units and Pilot-Data are told: lines for people, facts for JSON."""

from __future__ import annotations

from typing import Any

from pilot_data.catalogue import DataUnitRecord
from pilot_data.cli.output import human, show_event, shown, tell
from pilot_data.replicas import state_of, whole_at

from .found import Found


def facts_of(found: Found, unit: DataUnitRecord) -> dict[str, Any]:
    """Return what is told of a data unit as JSON."""
    return {
        "url": found.session.url_of(unit.id),
        "id": unit.id,
        "name": unit.description.get("name", ""),
        "state": unit.state,
        "reason": unit.reason,
        "files": unit.files,
        "bytes": unit.bytes,
        "replicas": {name: state_of(replica) for name, replica in unit.replicas.items()},
    }


def line(unit: DataUnitRecord) -> str:
    """Return a data unit as ``ls`` shows it."""
    name = shown(unit.description.get("name", ""))
    return f"{unit.state:8} {unit.files:8} {human(unit.bytes):>5} {unit.id} {name}".rstrip()


def summary(unit: DataUnitRecord) -> str:
    """Return how a data unit is, in one line."""
    places = ", ".join(whole_at(unit))
    where = f", whole at {places}" if places else ""
    why = f": {unit.reason}" if unit.reason else ""
    return f"data unit {unit.id} is {unit.state}{why}; {unit.files} files ({human(unit.bytes)}){where}"


def tell_unit(found: Found, *, as_json: bool, quiet: bool) -> None:
    """Tell how a data unit is now."""
    unit = found.unit_record
    if as_json:
        show_event("data-unit", **facts_of(found, unit))
    if not quiet:
        tell(summary(unit))


def state_line(found: Found) -> str:
    """Return how a data unit or Pilot-Data is now, in one line."""
    if found.kind == "du":
        return summary(found.unit_record)
    store = found.store_record
    return f"Pilot-Data {store.id} is {store.state}; {human(store.used_bytes)} used"
