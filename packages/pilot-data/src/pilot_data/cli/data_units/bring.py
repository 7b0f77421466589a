"""A data unit comes to a further Pilot-Data."""

from __future__ import annotations

from typing import Any

from pilot_data.cli.catalogue_names import allow_only
from pilot_data.cli.telling import show_would

from .arrival import await_arrival
from .found import Found, find, find_one


def bring(sources: tuple[str, ...], target: str, options: dict[str, Any]) -> int:
    """Ask for a replica, wait until it has come, and return the exit code.

    Args:
        sources: One data unit.
        target: A Pilot-Data of the same session.
        options: Of the command.
    """
    allow_only(("dry_run",), "a replica of a data unit")
    found = find_one(sources, options["session"], "a further replica")
    store = find(target, options["session"], kind="pd")
    as_json, quiet = options["as_json"], options["quiet"]
    if options["dry_run"]:
        show_would("copy", found.id, store.id, found.unit_record.bytes, as_json=as_json)
        return 0

    def ask() -> tuple[Found, list[str]]:
        found.unit.add_pilot_data(store.store)
        return found, [store.id]

    return await_arrival(ask, as_json=as_json, quiet=quiet)
