"""``pilot-data cp``."""

from __future__ import annotations

from typing import Any

import click

from .catalogue_names import has_name, is_name, new_unit_options, of_paths
from .copying import copy, copy_options


@click.command
@copy_options
@new_unit_options
def cp(sources: tuple[str, ...], target: str, **options: Any) -> int:
    """Copy files and folders from anywhere to anywhere.

    Names are those of cp -r: in an existing folder, or one named with a slash at its end, each SOURCE keeps its name;
    otherwise a single SOURCE gets the TARGET's name. Of a folder named with a slash at its end, what it holds is copied.
    A data unit is copied to a folder, or brought to a further Pilot-Data.
    """
    if is_name(target) or has_name(sources):
        return _copy_unit(sources, target, options)
    return copy(sources, target, of_paths(options))


def _copy_unit(sources: tuple[str, ...], target: str, options: dict[str, Any]) -> int:
    from .data_units.bring import bring
    from .data_units.export import export
    from .data_units.put import put

    if not is_name(target):
        return export(sources, target, options)
    return (bring if has_name(sources) else put)(sources, target, options)
