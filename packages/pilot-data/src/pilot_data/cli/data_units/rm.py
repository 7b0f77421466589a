"""Data units, their replicas and Pilot-Data are removed."""

from __future__ import annotations

from typing import Any

import click

from pilot_data.cli.catalogue_names import allow_only
from pilot_data.cli.output import show_event, shown
from pilot_protocol.errors import DescriptionError, StateError

from .found import Found, find
from .interrupting import state_told


def rm(names: tuple[str, ...], options: dict[str, Any]) -> int:
    """Remove what is named, and return the exit code; nothing is removed if one of the names is wrong.

    Args:
        names: Of data units and, with ``recursive``, of Pilot-Data.
        options: Of the command.
    """
    allow_only(("recursive", "pilot_data", "dry_run"), "data units and Pilot-Data")
    session, place = options["session"], options["pilot_data"]
    found = [find(name, session) for name in names]
    store = find(place, session, kind="pd") if place else None
    for one in found:
        _check(one, store, recursive=options["recursive"])
    for one in found:
        if not options["dry_run"]:
            with state_told(one):
                _remove(one, store)
        _tell(one, store, as_json=options["as_json"], is_dry=options["dry_run"])
    return 0


def _check(found: Found, store: Found | None, *, recursive: bool) -> None:
    if found.kind == "pd" and store is not None:
        raise DescriptionError(f"--from is for data units, and {found.id} is a Pilot-Data", key="pilot_data")
    if found.kind == "pd" and not recursive:
        raise DescriptionError(
            f"{found.id} is a Pilot-Data; to remove it with all that is in it, add --recursive",
            key="recursive",
        )
    if store is not None and store.id not in found.unit_record.replicas:
        raise StateError(f"data unit {found.id} is not at {store.id}")


def _remove(found: Found, store: Found | None) -> None:
    if found.kind == "pd":
        found.store.cancel()
    elif store is None:
        found.unit.cancel()
    else:
        store.store.remove_du(found.unit)


def _tell(found: Found, store: Found | None, *, as_json: bool, is_dry: bool) -> None:
    where = {"pilot_data": store.id} if store is not None else {}
    if as_json:
        show_event("would-remove" if is_dry else "removed", target=found.url, **where)
    elif is_dry:
        click.echo(f"remove {shown(found.id)}" + (f" from {store.id}" if store is not None else ""))
