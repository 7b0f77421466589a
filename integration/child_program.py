"""Runs a program as a user does: a process of its own, a home of its own, a limit on its time.

What still lives when the program has ended is found by its home, which is in the environment of all that it started, and
counts as a defect of the program.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 10.0
"""How long processes may take to end after the program that started them."""


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: Its exit code, negative for a signal.
        stdout: What it wrote.
        stderr: What it wrote there.
        left: Command lines of the processes that outlived it by more than `GRACE_S`.
    """

    code: int
    stdout: str
    stderr: str
    left: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    def check_clean(self) -> None:
        """Assert that the program ended well, said nothing on stderr and left no process behind."""
        assert (self.code, self.stderr, self.left) == (0, "", ()), (
            f"stdout:\n{self.stdout}\nstderr:\n{self.stderr}\nleft: {self.left}"
        )


def home_environment(home: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a user whose home is `home`."""
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "TMPDIR": str(temporary),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **variables,
    }


def run_program(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    limit_s: float = 50.0,
    *,
    something_stays: bool = False,
) -> Ended:
    """Run a program in its home, wait for its end and for that of all it started.

    Args:
        command: The program and its arguments.
        environment: Of the program; its HOME is the current folder.
        limit_s: Seconds it may take.
        something_stays: It may leave processes behind; they are not waited for, and live until the test ends.

    Raises:
        AssertionError: It did not end in time. It and all it started are killed.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        env=dict(environment),
        cwd=environment["HOME"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    home = Path(environment["HOME"])
    try:
        stdout, stderr = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        alive = kill_all(home)
        stdout, stderr = process.communicate()
        raise AssertionError(
            f"{command} did not end within {limit_s:g} s\nalive: {alive}\nstdout:\n{stdout}\nstderr:\n{stderr}"
        ) from None
    left = () if something_stays else wait_for_ends(home, GRACE_S)
    return Ended(process.returncode, stdout, stderr, left)


def run_python(
    program: Path, environment: Mapping[str, str], *arguments: str, something_stays: bool = False
) -> Ended:
    """Run a Python program with the interpreter of the tests, see `run_program`."""
    command = [sys.executable, str(program), *arguments]
    return run_program(command, environment, something_stays=something_stays)


def wait_for_ends(home: Path, limit_s: float) -> tuple[str, ...]:
    """Wait until no process has this home; return the command lines of those that still do."""
    deadline = time.monotonic() + limit_s
    while found := dict(processes_of(home)):
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not all(wait_for_end(pid, remaining) for pid in found):
            return tuple(found.values())
    return ()


def wait_for_end(pid: int, limit_s: float) -> bool:
    """Wait for the end of a process that need not be a child; return whether it came."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], limit_s)[0])
    finally:
        os.close(descriptor)


def kill_all(home: Path) -> list[str]:
    """Kill every process that has this home; return their command lines."""
    found = dict(processes_of(home))
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(found.values())


def processes_of(home: Path) -> Iterator[tuple[int, str]]:
    """Yield id and command line of the processes, but this one, with the home in environment or command line."""
    trace = os.fsencode(home)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # A process that ends now or belongs to somebody else cannot be read; it is none of ours.
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if trace in command + (entry / "environ").read_bytes():
                yield int(entry.name), command.replace(b"\0", b" ").decode(errors="replace").strip()
