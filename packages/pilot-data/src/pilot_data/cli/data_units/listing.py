"""What is in a Pilot-Data or a data unit."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pilot_data.catalogue import units_at
from pilot_data.cli.catalogue_names import allow_only
from pilot_data.cli.output import human, show_event, shown
from pilot_data.entries import Entry
from pilot_data.origins import entry_of

from .found import find
from .telling_units import facts_of, line


def files_of(name: str, session: str) -> Iterator[Entry]:
    """Yield the files of a data unit."""
    found = find(name, session, kind="du")
    yield from map(entry_of, found.catalogue.files(found.id))


def list_units(name: str, session: str, *, as_json: bool) -> None:
    """Tell the data units that a Pilot-Data has."""
    allow_only((), "Pilot-Data")
    found = find(name, session, kind="pd")
    for unit in units_at(found.catalogue, found.id):
        if as_json:
            show_event("data-unit", **facts_of(found, unit))
        else:
            click.echo(line(unit))


def add_up(name: str, session: str, *, as_json: bool) -> None:
    """Tell the sum of a data unit's files, or of those of all data units of a Pilot-Data."""
    found = find(name, session)
    units = [found.unit_record] if found.kind == "du" else units_at(found.catalogue, found.id)
    size, files = sum(unit.bytes for unit in units), sum(unit.files for unit in units)
    if as_json:
        show_event("sum", place=found.url, bytes=size, files=files)
    else:
        click.echo(f"{human(size):>5} {files:8} {shown(name)}")
