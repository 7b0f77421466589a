"""``pilot-data sync``."""

from __future__ import annotations

from typing import Any

import click

from .catalogue_names import is_name, of_paths, session_option, want_path
from .copying import copy
from .options import dry_run_option, job_options, output_options, place, source_access_options


@click.command
@place("source")
@place("target")
@click.option("--delete", "deletes", is_flag=True, help="Remove at the target what the source does not have.")
@dry_run_option
@session_option
@job_options
@source_access_options
@output_options
def sync(source: str, target: str, **options: Any) -> int:
    """Make what a folder or a data unit holds the same as another folder.

    Copies what is new or has changed, by size and time. Nothing is removed without --delete.
    """
    want_path(source, "source", "pilot-data get copies a data unit to one")
    if is_name(target):
        from .data_units.sync import sync as sync_unit

        return sync_unit(source, target, options)
    return copy((source,), target, {**of_paths(options), "only_changed": True, "mirrors": True})
