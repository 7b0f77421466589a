"""A place for tests: this machine, with a home of its own, and a record of what was said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pilot.submission.place import COMMAND_LIMIT_S, Output
from pilot_protocol.errors import SubmissionError

NOBODY = 65534
PATH = "/usr/local/bin:/usr/bin:/bin"


class LocalPlace:
    """Runs commands with a shell here.

    Args:
        home: The home directory.
        shell: Program and arguments that take a command line after ``-c``.
        greeting: What a login shell says before anything else.
        user: Number of the user who runs the commands; the one who runs the tests by default.
        **variables: More of the environment.
    """

    name = "test place"

    def __init__(
        self,
        home: Path,
        *,
        shell: tuple[str, ...] = ("/bin/sh",),
        greeting: bytes = b"",
        user: int | None = None,
        **variables: str,
    ) -> None:
        self._shell = shell
        self._greeting = greeting
        self._user = user
        self._variables: Mapping[str, str] = {"HOME": str(home), "PATH": PATH, **variables}
        self.commands: list[str] = []
        self.given: list[bytes] = []
        self.cut_after: int | None = None
        """Standard input of the next uploads ends after so many bytes."""

    def url_of(self, path: str) -> str:
        return path

    def run(self, command: str, *, given: bytes = b"", limit_s: float = COMMAND_LIMIT_S) -> Output:
        """Run a command line, and write it down."""
        self.commands.append(command)
        self.given.append(given)
        if self.cut_after is not None and command != "/bin/sh":
            given = given[: self.cut_after]
        try:
            done = subprocess.run(
                [*self._shell, "-c", command],
                input=given,
                capture_output=True,
                env=self._variables,
                timeout=limit_s,
                check=False,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                cwd="/",
            )
        except subprocess.TimeoutExpired as error:
            raise SubmissionError(f"{command} took too long") from error
        return Output(done.returncode, self._greeting + done.stdout, os.fsdecode(done.stderr))

    def close(self) -> None:
        """There is nothing to give up."""
