"""``pilot-data cp``."""

from __future__ import annotations

from typing import Any

import click

from .copying import copy, copy_options


@click.command
@copy_options
def cp(sources: tuple[str, ...], target: str, **options: Any) -> int:
    """Copy files and folders from anywhere to anywhere.

    Names are those of cp -r: in an existing folder, or one named with a slash at its end, each SOURCE keeps its name;
    otherwise a single SOURCE gets the TARGET's name. Of a folder named with a slash at its end, what it holds is copied.
    """
    return copy(sources, target, options)
