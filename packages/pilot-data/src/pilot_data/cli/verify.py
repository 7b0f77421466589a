"""``pilot-data verify``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from pilot_data.comparing import Difference, Side, differences
from pilot_data.errors import CanceledError
from pilot_data.job import Job
from pilot_data.sources import items_of
from pilot_data.storage import Access

from .canceling import canceling
from .catalogue_names import check_alone, from_option, is_name, of_paths, session_option, want_path
from .exit_codes import INCOMPLETE
from .named_files import below, named
from .options import access_of, needed, optional_place, output_options, place, source_access_options
from .output import show_event, shown, tell


@click.command
@place("source")
@optional_place("target")
@from_option
@session_option
@source_access_options
@output_options
def verify(source: str, target: str | None, **options: Any) -> int:
    """Compare two places by their contents.

    Both are folders, or both are files. With a data unit, and no TARGET: its replicas with the catalogue. What differs
    is told, and the exit code is 1 then.
    """
    if is_name(source):
        check_alone(target)
        from .data_units.verify import verify as verify_unit

        return verify_unit(source, options)
    folder = needed(target)
    want_path(folder, "target", "pilot-data verify DU compares a data unit with the catalogue")
    return _verify_places(source, folder, of_paths(options))


def _verify_places(source: str, target: str, options: dict[str, Any]) -> int:
    access = access_of(options)
    job = Job()
    with canceling(job) as interruption, ExitStack() as stack:
        try:
            ours = stack.enter_context(_side(source, access.source, job))
            theirs = stack.enter_context(_side(target, access.target, job))
            count = 0
            for count, found in enumerate(differences(ours, theirs, job), 1):  # noqa: B007 - used below
                _show(found, as_json=options["as_json"])
        except CanceledError:
            return interruption.exit_code
    if not options["quiet"]:
        tell(f"{len(ours.entries)} files compared, {count} differences")
    return INCOMPLETE if count else 0


@contextmanager
def _side(text: str, access: Access, job: Job) -> Iterator[Side]:
    """Open and list one of the places; a file is compared under no name, so that two may have different ones."""
    with named(text, access) as (source, storage):
        entries = {}
        for item in items_of(source, storage):
            job.check()
            is_file = item.target == source.path and not item.entry.is_folder
            entries["" if is_file else below(source, item.target)] = item.entry
        yield Side(storage, entries)


def _show(found: Difference, *, as_json: bool) -> None:
    if as_json:
        show_event(found.what, path=found.path, detail=found.detail)
    else:
        name = shown(found.path) or "the file"
        click.echo(f"{found.what} {name}" + (f": {found.detail}" if found.detail else ""))
