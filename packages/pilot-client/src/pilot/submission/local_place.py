"""This machine as a place: commands are children of this process.

The invariant: a command that is over its limit leaves no process of its group behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from pilot_protocol.errors import SubmissionError

from .command_limit import too_long
from .place import COMMAND_LIMIT_S, Output


class LocalPlace:
    """This machine.

    What a command leaves in the background must have other standard streams than the command, whose end is the end of those.
    """

    name = "this machine"

    def url_of(self, path: str) -> str:
        """Return the path itself, see `Place.url_of`."""
        return path

    def run(self, command: str, *, given: bytes = b"", limit_s: float = COMMAND_LIMIT_S) -> Output:
        """Run a command line with ``/bin/sh``, see `Place.run`."""
        with _start(command) as process:
            try:
                out, err = process.communicate(given, timeout=limit_s)
            except BaseException as error:
                _kill_group(process)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise too_long(self.name, command, limit_s) from error
                raise
        return Output(process.returncode, out, err.decode("utf-8", "replace"))

    def close(self) -> None:
        """Nothing is held."""


def _start(command: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise SubmissionError(f"a command cannot be run on this machine: {error}") from error


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # all of it has just ended
        os.killpg(process.pid, signal.SIGKILL)
