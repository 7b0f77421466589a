"""This machine as a place, in its plainest form: what a queue's tests run their commands on, and count them with."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from pilot.submission.place import COMMAND_LIMIT_S, Output
from pilot_protocol.errors import SubmissionError


class PlainPlace:
    """Runs commands with ``/bin/sh``.

    Args:
        path: The folder in which commands are looked for first.
        sh: What stands in for ``/bin/sh``, in all commands.
    """

    name = "this machine"

    def __init__(self, path: str = "", sh: str = "/bin/sh") -> None:
        self.commands: list[str] = []
        self.reached = True
        self._environment = {
            **os.environ,
            "PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"],
        }
        self._shell = sh

    def url_of(self, path: str) -> str:
        return path

    def run(self, command: str, *, given: bytes = b"", limit_s: float = COMMAND_LIMIT_S) -> Output:
        """Run a command line."""
        self.commands.append(command)
        if not self.reached:
            raise SubmissionError("this machine cannot be reached")
        process = subprocess.Popen(
            [*self._shell.split(), "-c", command.replace("/bin/sh", self._shell)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(given, limit_s)
        except subprocess.TimeoutExpired as late:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise SubmissionError(f"this machine did not answer within {limit_s:g} s") from late
        return Output(process.returncode, out, err.decode("utf-8", "replace"))

    def close(self) -> None:
        """Do nothing."""
