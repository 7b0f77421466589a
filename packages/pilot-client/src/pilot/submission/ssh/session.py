"""One command over SSH, whatever shell the account there has.

What crosses as the command line is a short frame without anything that a shell could take its own way, be it csh. It
greets; only then are the command and its input sent, through standard input. So a command whose greeting did not come has
surely not run. The frame says how the command ended, which tells its exit code from one of ``ssh``.

The invariant: what start-up files of the account print never mixes with what the command prints.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from dataclasses import dataclass

from pilot.submission.command_limit import shortened, too_long
from pilot.submission.pipe_reading import Found, PipeEndedError, read_past
from pilot.submission.place import Output
from pilot_protocol.errors import SubmissionError
from pilot_session.ssh_keeper import ssh_environment

from .master import unstartable
from .refusals import quoted

# No backslash but before n, no exclamation mark, no single quote, no line end: those mean something to csh or fish.
# The process group, by which all of it can be killed, is the fifth word in the status of a process on Linux.
_FRAME = (
    "/bin/sh -c 'g=$$; read -r a b c d g e 2>/dev/null </proc/$$/stat; "
    'printf "%s\\n" {mark} >&2; printf "%s %s\\n" {mark} "$g"; c=$(dd bs=1 count={size} 2>/dev/null); '
    '/bin/sh -c "$c"; s=$?; printf "\\n%s %s\\n" {mark} "$s" >&2; exit "$s"\''
)


class NotStartedError(Exception):
    """The command has surely not run.

    Attributes:
        words: What ``ssh`` said.
    """

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class OverdueError(Exception):
    """The command took too long; ``ssh`` was killed, the command was not.

    Attributes:
        group: The command's process group there.
    """

    def __init__(self, group: int) -> None:
        super().__init__(group)
        self.group = group


@dataclass(frozen=True)
class Session:
    """A command to be run once.

    Attributes:
        place: What messages call the machine.
        command: For ``/bin/sh`` there.
        given: Its standard input.
        limit_s: How long it may take.
    """

    place: str
    command: str
    given: bytes
    limit_s: float

    def run(self, client: list[str]) -> Output:
        """Run the command.

        Args:
            client: ``ssh`` and its arguments, up to the command.

        Raises:
            NotStartedError: ``ssh`` did not get through, so the command has not run.
            OverdueError: The command took too long, and goes on.
            SubmissionError: ``ssh`` cannot be started, there was no greeting in time, or the connection was lost while
                the command ran.
        """
        mark, text = secrets.token_hex(12), self.command.encode("utf-8", "surrogateescape")
        frame = _FRAME.format(mark=mark, size=len(text))
        deadline = time.monotonic() + self.limit_s
        with _start([*client, frame]) as process:
            try:
                greeting = self._await_greeting(process, mark)
                remaining = max(0.0, deadline - time.monotonic())
                out, err = _end_of(process, text + self.given, remaining, greeting)
            finally:
                process.kill()
        return self._output(greeting.rest + out, err.decode("utf-8", "replace"), mark)

    def _await_greeting(self, process: subprocess.Popen[bytes], mark: str) -> Found:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            return read_past(process.stdout, mark.encode(), self.limit_s)
        except TimeoutError as error:
            process.kill()
            _, err = process.communicate()
            raise SubmissionError(
                f"{self.place} did not begin with a command within {self.limit_s:g} s: {shortened(self.command)}"
                f"{quoted(err.decode('utf-8', 'replace'))}",
                transient=True,
            ) from error
        except PipeEndedError as error:
            _, err = process.communicate()
            raise NotStartedError((err + error.text).decode("utf-8", "replace")) from error

    def _output(self, out: bytes, err: str, mark: str) -> Output:
        _, _, said = err.partition(f"{mark}\n")
        said, ended, code = said.rpartition(f"\n{mark} ")
        if not ended:
            raise SubmissionError(
                f"the connection to {self.place} was lost while a command ran, which may have done its work, so it is "
                f"not repeated: {shortened(self.command)}{quoted(err.replace(mark, ''))}",
                transient=True,
            )
        return Output(int(code.partition("\n")[0]), out, said)

    def overdue(self) -> SubmissionError:
        """Return the error for this command having taken too long."""
        return too_long(self.place, self.command, self.limit_s)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=ssh_environment(),
        )
    except OSError as error:
        raise unstartable(command[0], error) from error


def _end_of(
    process: subprocess.Popen[bytes], given: bytes, limit_s: float, greeting: Found
) -> tuple[bytes, bytes]:
    try:
        return process.communicate(given, timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise OverdueError(int(greeting.line)) from error
