"""What the program's exit codes mean."""

from __future__ import annotations

from pilot_data.errors import STORAGE_WIDE, BusyError, CanceledError
from pilot_data.transfer_report import Report
from pilot_protocol.errors import CoordinationError, DescriptionError, PilotError

INCOMPLETE = 1
USAGE = 2
STORAGE = 3
INTERRUPTED = 130
CLOSED_PIPE = 141


def exit_code_of(error: PilotError) -> int:
    """Return the exit code of an error that ended the program."""
    if isinstance(error, DescriptionError):
        return USAGE
    if isinstance(error, CanceledError):
        return INTERRUPTED
    return STORAGE if isinstance(error, (*STORAGE_WIDE, BusyError, CoordinationError)) else INCOMPLETE


def exit_code_of_report(report: Report) -> int:
    """Return the exit code of a transfer."""
    if report.stopped is not None:
        return exit_code_of(report.stopped)
    return INCOMPLETE if report.failures else 0
