"""``pilot-data watch``."""

from __future__ import annotations

from typing import Any

import click

from pilot_data.errors import CanceledError
from pilot_data.job import Job
from pilot_data.transfer_legs import Request
from pilot_data.watching import Changes, rounds

from .canceling import canceling
from .catalogue_names import check_alone, is_name, of_paths, session_option, want_path
from .copying import want_local
from .exit_codes import exit_code_of_report
from .options import (
    access_of,
    job_of,
    job_options,
    needed,
    optional_place,
    output_options,
    place,
    source_access_options,
)
from .telling import Telling


@click.command
@place("source")
@optional_place("target")
@click.option("--delete", "deletes", is_flag=True, help="Remove at the target what the source does not have.")
@session_option
@job_options
@source_access_options
@output_options
def watch(source: str, target: str | None, **options: Any) -> int:
    """Sync a local folder whenever it changes, or tell how a data unit comes along.

    Until Ctrl-C. A file that fails, because it is still written to, is copied when it changes the next time.
    With a data unit or Pilot-Data, and no TARGET: each change of state, until nothing moves.
    """
    if is_name(source):
        check_alone(target)
        from .data_units.watch import watch as watch_unit

        return watch_unit(source, options)
    folder = needed(target)
    want_path(folder, "target", "pilot-data sync makes a data unit like a folder")
    return _watch_folder(source, folder, of_paths(options))


def _watch_folder(source: str, target: str, options: dict[str, Any]) -> int:
    want_local((source,), "source", "watch")
    as_json, quiet = options.pop("as_json"), options.pop("quiet")
    job = job_of(options)
    access = access_of(options)
    request = Request(
        (source,), target, access.source, access.target, only_changed=True, mirrors=True, **options
    )
    with Changes(source) as changes, canceling(job, changes.wake) as interruption:
        telling = Telling(interruption, as_json=as_json, quiet=quiet)
        job.on_bytes = telling.bytes
        try:
            return _watch(request, changes, job, telling)
        except CanceledError:
            return interruption.exit_code


def _watch(request: Request, changes: Changes, job: Job, telling: Telling) -> int:
    code = 0
    with telling:
        for report in rounds(request, changes, job, telling):
            telling.close()
            telling.report(report)
            if isinstance(report.stopped, CanceledError):
                raise report.stopped
            code = exit_code_of_report(report)
    return code
