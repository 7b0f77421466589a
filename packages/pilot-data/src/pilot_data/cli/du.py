"""``pilot-data du``."""

from __future__ import annotations

from typing import Any

import click

from .catalogue_names import allow_only, check_all_names, check_of_paths, has_name, session_option
from .named_files import named
from .options import access_of, access_options, places
from .output import human, show_event, shown


@click.command
@places("urls")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object a line.")
@session_option
@access_options
def du(urls: tuple[str, ...], *, as_json: bool, session: str, **options: Any) -> None:
    """Add up sizes: bytes, number of files, place.

    A K is 1024.
    """
    if has_name(urls):
        _add_up_names(urls, session, as_json=as_json)
        return
    check_of_paths()
    access = access_of(options).target
    for url in urls:
        size = files = 0
        with named(url, access) as (source, storage):
            for entry in source.entries(storage):
                size += entry.bytes_to_move
                files += not entry.is_folder
        if as_json:
            show_event("sum", place=url, bytes=size, files=files)
        else:
            click.echo(f"{human(size):>5} {files:8} {shown(url)}")


def _add_up_names(names: tuple[str, ...], session: str, *, as_json: bool) -> None:
    from .data_units.listing import add_up

    allow_only((), "data units and Pilot-Data")
    check_all_names(names)
    for name in names:
        add_up(name, session, as_json=as_json)
