"""``pilot-data sync``."""

from __future__ import annotations

from typing import Any

import click

from .copying import copy
from .options import dry_run_option, job_options, output_options, place, source_access_options


@click.command
@place("source")
@place("target")
@click.option("--delete", "deletes", is_flag=True, help="Remove at the target what the source does not have.")
@dry_run_option
@job_options
@source_access_options
@output_options
def sync(source: str, target: str, **options: Any) -> int:
    """Make what a folder holds the same as another.

    Copies what is new or has changed, by size and time. Nothing is removed without --delete.
    """
    return copy((source,), target, {**options, "only_changed": True, "mirrors": True})
