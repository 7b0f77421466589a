"""``pilot-data export``."""

from __future__ import annotations

from typing import Any

import click

from pilot_protocol.errors import DescriptionError

from .catalogue_names import from_option, is_name, session_option, want_path
from .options import access_options, dry_run_option, job_options, output_options, place


@click.command
@click.argument("data_unit")
@place("target")
@dry_run_option
@from_option
@session_option
@job_options
@access_options
@output_options
def export(data_unit: str, target: str, **options: Any) -> int:
    """Copy the files of a data unit to a folder anywhere.

    What is there already is not copied again.
    """
    if not is_name(data_unit):
        raise DescriptionError(
            f"{data_unit!r} is no data unit; a URL like redis://…&du=du-… or an id du-… is needed",
            key="data_unit",
            value=data_unit,
        )
    want_path(target, "target", "pilot-data cp brings a data unit to a further Pilot-Data")
    from .data_units.export import export as export_it

    return export_it((data_unit,), target, options)
