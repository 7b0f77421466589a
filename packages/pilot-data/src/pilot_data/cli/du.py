"""``pilot-data du``."""

from __future__ import annotations

from typing import Any

import click

from .named_files import named
from .options import access_of, access_options, places
from .output import human, show_event, shown


@click.command
@places("urls")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object a line.")
@access_options
def du(urls: tuple[str, ...], *, as_json: bool, **options: Any) -> None:
    """Add up sizes: bytes, number of files, place.

    A K is 1024.
    """
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
