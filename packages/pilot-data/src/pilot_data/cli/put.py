"""``pilot-data put``."""

from __future__ import annotations

from typing import Any

import click

from .catalogue_names import is_name, new_unit_options, of_paths
from .copying import copy, copy_options, want_local


@click.command
@copy_options
@new_unit_options
def put(sources: tuple[str, ...], target: str, **options: Any) -> int:
    """Copy local files and folders to a storage, or make a data unit of them at a Pilot-Data.

    Names are those of cp -r: in an existing folder, or one named with a slash at its end, each SOURCE keeps its name;
    otherwise a single SOURCE gets the TARGET's name. Of a folder named with a slash at its end, what it holds is copied.
    """
    want_local(sources, "source", "put")
    if is_name(target):
        from .data_units.put import put as put_unit

        return put_unit(sources, target, options)
    return copy(sources, target, of_paths(options))
