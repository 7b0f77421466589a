"""What a compute unit wrote: kept with its result when it was short, else in a file on the node that ran it."""

from __future__ import annotations

from pathlib import Path

from pilot_protocol.errors import PilotError
from pilot_protocol.messages import UnitResult


def read_stdout(unit: str, result: UnitResult) -> str:
    """Return all that a unit wrote to standard output.

    Raises:
        PilotError: It is in a file that cannot be read from here.
    """
    if result.stdout is not None:
        return result.stdout
    if not result.stdout_file:
        return ""
    try:
        return _read(result.stdout_file)
    except OSError as error:
        raise PilotError(
            f"the standard output of compute unit {unit} is in {result.stdout_file} on {result.node}, which cannot be "
            f"read here: {error.strerror}; read it there, or name an output file on a shared file system"
        ) from error


def read_stderr(result: UnitResult) -> str:
    """Return what a unit wrote to standard error: its end, after a line that says so, when the rest is out of reach."""
    if not result.stderr_file:
        return result.stderr
    try:
        return _read(result.stderr_file)
    except OSError:
        return f"[the end of {result.stderr_file} on {result.node}]\n{result.stderr}"


def _read(path: str) -> str:
    return Path(path).read_text("utf-8", errors="replace")
