"""Files become a data unit at a Pilot-Data."""

from __future__ import annotations

from typing import Any

import click

from pilot_data.cli.catalogue_names import allow_only, has_name
from pilot_data.cli.output import show_event
from pilot_data.cli.telling import show_would
from pilot_data.origins import lots_of
from pilot_protocol.errors import DescriptionError, StateError
from pilot_protocol.states import State

from .arrival import await_arrival
from .found import Found, find


def put(sources: tuple[str, ...], target: str, options: dict[str, Any]) -> int:
    """Submit a data unit, wait until it has come, and return the exit code.

    Args:
        sources: Files, folders and patterns.
        target: A Pilot-Data.
        options: Of the command.
    """
    allow_only(("replicas", "unit_name", "dry_run", "checksum"), "a data unit that is made of files")
    if has_name(sources):
        raise DescriptionError(
            "a data unit is made of files; one that there is comes to a further place by pilot-data cp DU PD",
            key="sources",
        )
    found = find(target, options["session"], kind="pd")
    if options["dry_run"]:
        return _would_put(found, sources, as_json=options["as_json"])

    def submit() -> tuple[Found, list[str]]:
        unit = found.store.submit_data_unit(_description(sources, options))
        made = Found(found.session, "du", unit.id)
        if options["as_json"]:
            show_event("submitted", url=made.url, id=made.id)
        else:
            click.echo(made.url)
        return made, list(made.unit_record.replicas)

    return await_arrival(submit, as_json=options["as_json"], quiet=options["quiet"])


def _description(sources: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    name = {"name": options["unit_name"]} if options["unit_name"] else {}
    return {
        "file_urls": list(sources),
        "number_of_replicas": options["replicas"],
        "checksum": options["checksum"],
        **name,
    }


def _would_put(found: Found, sources: tuple[str, ...], *, as_json: bool) -> int:
    store = found.store_record
    if store.state is not State.Running:
        raise StateError(f"Pilot-Data {store.id} is {store.state}; nothing is put there any more")
    for lot in lots_of(sources):
        for item in lot.items:
            show_would("copy", item.entry.path, item.target, item.entry.bytes_to_move, as_json=as_json)
    return 0
