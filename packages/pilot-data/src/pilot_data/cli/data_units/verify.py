"""The replicas of a data unit, or a folder, are compared with what the catalogue knows of its files."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import click

from pilot_data.cli.canceling import canceling
from pilot_data.cli.catalogue_names import allow_only
from pilot_data.cli.exit_codes import INCOMPLETE
from pilot_data.cli.output import show_event, shown, tell
from pilot_data.comparing import Difference, Recorded, Side, differences
from pilot_data.entries import Entry
from pilot_data.errors import CanceledError
from pilot_data.job import Job
from pilot_data.moving import present_at
from pilot_data.origins import entry_of
from pilot_data.replicas import nearest_whole, open_replica, state_of, whole_at
from pilot_data.storage import Storage

from .found import Found, find
from .telling_units import state_line


def verify(name: str, options: dict[str, Any]) -> int:
    """Compare by checksums where the files lie, tell what differs, and return the exit code.

    Args:
        name: Of a data unit.
        options: Of the command.
    """
    allow_only(("pilot_data",), "a data unit")
    found = find(name, options["session"], kind="du")
    wanted = find(options["pilot_data"], options["session"], kind="pd").id if options["pilot_data"] else ""
    stores = _whole(found, wanted)
    recorded = Recorded({file.path: entry_of(file) for file in found.catalogue.files(found.id)})
    job, count = Job(), 0
    with canceling(job) as interruption:
        try:
            for store in stores:
                count += _compare(found, store, recorded, job, as_json=options["as_json"])
        except CanceledError:
            tell(f"interrupted: {state_line(found)}")
            return interruption.exit_code
    if not options["quiet"]:
        _tell_rest(found, recorded, stores, count)
    return INCOMPLETE if count else 0


def _whole(found: Found, wanted: str) -> list[str]:
    """Return the Pilot-Data that have it whole, or the wanted one.

    Raises:
        StateError: There is none.
    """
    unit = found.unit_record
    nearest = nearest_whole(found.catalogue, unit, wanted)
    return [nearest.id] if wanted else whole_at(unit)


def _compare(found: Found, store: str, recorded: Recorded, job: Job, *, as_json: bool) -> int:
    """Tell how a replica differs; return in how many files."""
    place = Found(found.session, "pd", store)
    count = 0
    with closing(open_replica(place.store_record, found.id)) as storage:
        for count, difference in enumerate(differences(recorded, _side(storage), job), 1):  # noqa: B007
            _show(difference, store, as_json=as_json)
    return count


def _side(storage: Storage) -> Side:
    """List a replica; whether what a link leads to is there shows by that file."""
    return Side(storage, {path: _unbroken(entry) for path, entry in present_at(storage).items()})


def _unbroken(entry: Entry) -> Entry:
    return replace(entry, is_broken=False)


def _show(found: Difference, store: str, *, as_json: bool) -> None:
    if as_json:
        show_event(found.what, path=found.path, detail=found.detail, pilot_data=store)
    else:
        click.echo(
            f"{found.what} {shown(found.path)} at {store}" + (f": {found.detail}" if found.detail else "")
        )


def _tell_rest(found: Found, recorded: Recorded, stores: list[str], count: int) -> None:
    for store, replica in found.unit_record.replicas.items():
        if store not in stores:
            tell(f"data unit {found.id} at {store} is {state_of(replica)}, and was not compared")
    unknown = sum(entry.has_content and not entry.checksum for entry in recorded.entries.values())
    if unknown:
        tell(f"the catalogue has no checksum of {unknown} files; their sizes were compared")
    tell(f"{len(recorded.entries)} files compared at {', '.join(stores)}, {count} differences")
