"""``pilot-data put``."""

from __future__ import annotations

from typing import Any

import click

from .copying import copy, copy_options, want_local


@click.command
@copy_options
def put(sources: tuple[str, ...], target: str, **options: Any) -> int:
    """Copy local files and folders to a storage.

    Names are those of cp -r: in an existing folder, or one named with a slash at its end, each SOURCE keeps its name;
    otherwise a single SOURCE gets the TARGET's name. Of a folder named with a slash at its end, what it holds is copied.
    """
    want_local(sources, "source", "put")
    return copy(sources, target, options)
