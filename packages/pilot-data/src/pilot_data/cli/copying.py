"""What ``put``, ``get``, ``cp`` and ``sync`` have in common: they differ in what they want of sources and target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from pilot_data.errors import CanceledError
from pilot_data.job import Job
from pilot_data.locations import parse
from pilot_data.transfer_legs import Leg, Request
from pilot_data.transfers import Transfer
from pilot_protocol.errors import DescriptionError

from .canceling import canceling
from .catalogue_names import from_option, session_option
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
        session_option,
        from_option,
        source_access_options,
        job_options,
        dry_run_option,
        click.option("--update", "-u", "only_changed", is_flag=True, help="Leave out what is there already."),
        place("target"),
        places("sources"),
    ):
        command = decorate(command)
    return command


@dataclass(frozen=True)
class Output:
    """What a copy tells.

    Attributes:
        as_json: Each file, as JSON.
        quiet: Errors only.
        is_dry: What would be done; nothing is.
    """

    as_json: bool
    quiet: bool
    is_dry: bool


def output_of(options: dict[str, Any]) -> Output:
    """Take the options of `output_options` and `dry_run_option` out of all options."""
    return Output(options.pop("as_json"), options.pop("quiet"), options.pop("dry_run"))


def copy(sources: tuple[str, ...], target: str, options: dict[str, Any]) -> int:
    """Copy, tell of it, and return the exit code.

    Args:
        sources: As the user named them.
        target: As the user named it.
        options: Of `job_options`, `source_access_options` and `output_options`, and further ones of `Request`.
    """
    job, output, access = job_of(options), output_of(options), access_of(options)
    request = Request(sources, target, access.source, access.target, **options)
    return carry_out(request, job, output, Transfer.plan)


def carry_out(request: Request, job: Job, output: Output, plan: Callable[[Transfer], Sequence[Leg]]) -> int:
    """Copy what is planned, tell of it, and return the exit code."""
    with (
        canceling(job) as interruption,
        Telling(interruption, as_json=output.as_json, quiet=output.quiet) as telling,
    ):
        job.on_bytes = telling.bytes
        try:
            with Transfer(request, job, telling) as transfer:
                return _carried_out(transfer, plan(transfer), telling, output, deletes=request.deletes)
        except CanceledError:
            return interruption.exit_code


def _carried_out(
    transfer: Transfer, legs: Sequence[Leg], telling: Telling, output: Output, *, deletes: bool
) -> int:
    if output.is_dry:
        telling.would(legs, deletes=deletes)
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
