"""``pilot-data rm``."""

from __future__ import annotations

import os
from typing import Any

import click

from pilot_data.entries import Entry
from pilot_data.locations import Location
from pilot_data.moving import batches
from pilot_data.registry import open_storage
from pilot_data.sources import Source
from pilot_data.storage import Access, Storage
from pilot_protocol.errors import DescriptionError

from .catalogue_names import check_all_names, check_of_paths, from_option, has_name, session_option
from .named_files import named
from .options import access_of, access_options, dry_run_option, places
from .output import show_event, shown

BATCH = 1000


@click.command
@places("urls")
@click.option("--recursive", "-r", is_flag=True, help="Remove folders, with all that is in them.")
@dry_run_option
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object a line.")
@from_option
@session_option
@access_options
def rm(urls: tuple[str, ...], **options: Any) -> int:
    """Remove files, and folders with --recursive.

    Roots and homes are refused. A data unit is canceled and removed from everywhere, a Pilot-Data with --recursive.
    """
    if has_name(urls):
        check_all_names(urls)
        from .data_units.rm import rm as remove_named

        return remove_named(urls, options)
    check_of_paths()
    access = access_of(options).target
    for url in urls:
        with named(url, access) as (source, storage):
            _check_is_no_root(source)
            entries = list(source.entries(storage))
            _check_recursive(source, entries, recursive=options["recursive"])
            if not options["dry_run"]:
                _remove(source, storage, entries, access)
            for entry in entries:
                _tell(entry.path, as_json=options["as_json"], dry_run=options["dry_run"])
    return 0


def _check_is_no_root(source: Source) -> None:
    location = source.location
    home = Location("file", path=os.path.expanduser("~"))
    if source.pattern or (location.has_name and location != home):
        return
    raise DescriptionError(
        f"{source.text!r} is a root or a home, which is not removed as a whole; name what is in it",
        key="place",
    )


def _check_recursive(source: Source, entries: list[Entry], *, recursive: bool) -> None:
    if recursive:
        return
    for entry in entries:
        if entry.is_folder or source.named(entry.path) != entry.path:
            raise DescriptionError(
                f"{source.text!r} names a folder; to remove it with all that is in it, add --recursive",
                key="place",
            )


def _remove(source: Source, storage: Storage, entries: list[Entry], access: Access) -> None:
    if not source.pattern and [entry.path for entry in entries if not entry.is_folder] != [source.path]:
        whole = open_storage(source.location, access)
        try:
            whole.remove_all()  # with what has not arrived whole
        finally:
            whole.close()
        return
    for batch in batches([entry.path for entry in entries], BATCH):
        storage.remove_many(batch)


def _tell(path: str, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        show_event("would-remove" if dry_run else "removed", target=path)
    elif dry_run:
        click.echo(f"remove {shown(path)}")
