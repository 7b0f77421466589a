"""A place: a machine on which a pilot's files are put and commands run. This one, or one that SSH reaches.

The invariant: what is secret goes in through standard input, never through a command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

COMMAND_LIMIT_S = 60.0
"""How long a command may take, unless told otherwise."""


@dataclass(frozen=True)
class Output:
    """What a command left behind.

    Attributes:
        code: Its exit code; negative when a signal ended it.
        out: Its standard output.
        err: Its standard error, as text.
    """

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """The standard output as text."""
        return self.out.decode("utf-8", "replace")


class Place(Protocol):
    """A machine on which files are put and commands run."""

    @property
    def name(self) -> str:
        """What messages call it: ``this machine``, ``user@host``."""

    def url_of(self, path: str) -> str:
        """Return where a path there is, as pilot-data names it; empty when pilot-data has no way in."""

    def run(self, command: str, *, given: bytes = b"", limit_s: float = COMMAND_LIMIT_S) -> Output:
        """Run a command line with ``/bin/sh`` and wait for its end.

        Args:
            command: One line for a POSIX shell; whoever builds it has quoted its parts (:func:`shlex.quote`).
            given: Its standard input.
            limit_s: It is killed after so many seconds.

        Returns:
            What it left behind. An exit code other than 0 is no exception.

        Raises:
            SubmissionError: The machine cannot be reached, does not let us in, or the command took too long.
        """

    def close(self) -> None:
        """Give up the connection, if there is one."""
