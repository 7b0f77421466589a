"""``pilot-data get``."""

from __future__ import annotations

from typing import Any

import click

from .catalogue_names import has_name, of_paths, want_path
from .copying import copy, copy_options, want_local


@click.command
@copy_options
def get(sources: tuple[str, ...], target: str, **options: Any) -> int:
    """Copy files and folders from a storage, or the files of a data unit, to this machine.

    Names are those of cp -r: in an existing folder, or one named with a slash at its end, each SOURCE keeps its name;
    otherwise a single SOURCE gets the TARGET's name. Of a folder named with a slash at its end, what it holds is copied.
    """
    want_path(target, "target", "pilot-data cp brings a data unit to a further Pilot-Data")
    want_local((target,), "target", "get")
    if has_name(sources):
        from .data_units.export import export

        return export(sources, target, options)
    return copy(sources, target, of_paths(options))
