"""What is said of a command that took too long. Pure."""

from __future__ import annotations

from pilot_protocol.errors import SubmissionError

COMMAND_SHOWN = 160
"""So many characters of a command are in a message."""


def too_long(place: str, command: str, limit_s: float) -> SubmissionError:
    """Return the error for a command that was killed because it took too long."""
    return SubmissionError(
        f"a command on {place} took longer than {limit_s:g} s and was killed: {shortened(command)}",
        transient=True,
    )


def shortened(command: str) -> str:
    """Return a command as messages show it."""
    line = " ".join(command.split())
    return line if len(line) <= COMMAND_SHOWN else f"{line[:COMMAND_SHOWN]}…"
