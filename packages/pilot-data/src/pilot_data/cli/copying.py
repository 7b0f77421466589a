"""What ``put``, ``get``, ``cp`` and ``sync`` have in common: they differ in what they want of sources and target."""

from __future__ import annotations

from typing import Any

import click

from pilot_data.errors import CanceledError
from pilot_data.job import Job
from pilot_data.locations import parse
from pilot_data.transfer_legs import Request
from pilot_data.transfers import Transfer
from pilot_protocol.errors import DescriptionError

from .canceling import canceling
from .exit_codes import exit_code_of_report
from .options import (
    Command,
    access_of,
    dry_run_option,
    job_of,
    job_options,
    output_options,
    place,
    places,
    source_access_options,
)
from .telling import Telling


def copy_options(command: Command) -> Command:
    """Add what ``put``, ``get`` and ``cp`` take."""
    for decorate in (
        output_options,
        source_access_options,
        job_options,
        dry_run_option,
        click.option("--update", "-u", "only_changed", is_flag=True, help="Leave out what is there already."),
        place("target"),
        places("sources"),
    ):
        command = decorate(command)
    return command


def copy(sources: tuple[str, ...], target: str, options: dict[str, Any]) -> int:
    """Copy, tell of it, and return the exit code.

    Args:
        sources: As the user named them.
        target: As the user named it.
        options: Of `job_options`, `source_access_options` and `output_options`, and further ones of `Request`.
    """
    job = job_of(options)
    access = access_of(options)
    as_json, quiet, is_dry = options.pop("as_json"), options.pop("quiet"), options.pop("dry_run")
    request = Request(sources, target, access.source, access.target, **options)
    with canceling(job) as interruption, Telling(interruption, as_json=as_json, quiet=quiet) as telling:
        job.on_bytes = telling.bytes
        try:
            return _copy(request, job, telling, is_dry=is_dry)
        except CanceledError:
            return interruption.exit_code


def _copy(request: Request, job: Job, telling: Telling, *, is_dry: bool) -> int:
    with Transfer(request, job, telling) as transfer:
        legs = transfer.plan()
        if is_dry:
            telling.would(legs, deletes=request.deletes)
            return 1 if any(leg.plan.refused for leg in legs) else 0
        report = transfer.run(legs)
    telling.close()
    telling.report(report)
    if isinstance(report.stopped, CanceledError):
        raise report.stopped
    return exit_code_of_report(report)


def want_local(texts: tuple[str, ...], key: str, command: str) -> None:
    """Make sure that places are on this machine.

    Raises:
        DescriptionError: One is not.
    """
    for text in texts:
        if parse(text, key).scheme != "file":
            raise DescriptionError(
                f"{key} {text!r} is not on this machine, as {command} wants it; use pilot-data cp",
                key=key,
                value=text,
            )
