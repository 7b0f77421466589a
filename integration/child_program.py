"""Runs a program as a user does: a process of its own, a home of its own, a limit on its time.

Every run carries a mark in its environment, which children inherit. What still lives when the program has ended is found
by that mark, or by the home in its command line, and counts as a defect of the program.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "INTEGRATION_RUN"
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
        assert (self.code, self.stderr, self.left) == (0, "", ()), f"stdout was:\n{self.stdout}"


def home_environment(home: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a user whose home is `home`, who sees every warning of Python."""
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "TMPDIR": str(temporary),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LANG": "C.UTF-8",
        "PYTHONWARNINGS": "default",
        "PYTHONDONTWRITEBYTECODE": "1",
        **variables,
    }


def run_program(
    command: Sequence[str | Path], environment: Mapping[str, str], limit_s: float = 50.0
) -> Ended:
    """Run a program in its home, wait for its end and for that of all it started.

    Raises:
        AssertionError: It did not end in time. It and all it started are killed.
    """
    mark = f"{MARK}={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    process = subprocess.Popen(
        [str(part) for part in command],
        env={**environment, name: value},
        cwd=environment["HOME"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    traces = (mark, environment["HOME"])
    try:
        stdout, stderr = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        alive = kill_all(traces)
        stdout, stderr = process.communicate()
        raise AssertionError(
            f"{command} did not end within {limit_s:g} s\nalive: {alive}\nstdout:\n{stdout}\nstderr:\n{stderr}"
        ) from None
    left = wait_for_ends(traces, GRACE_S)
    kill_all(traces)
    return Ended(process.returncode, stdout, stderr, left)


def run_python(program: Path, environment: Mapping[str, str], *arguments: str) -> Ended:
    """Run a Python program with the interpreter of the tests."""
    return run_program([sys.executable, program, *arguments], environment)


def wait_for_ends(traces: Sequence[str], limit_s: float) -> tuple[str, ...]:
    """Wait until no process shows one of the traces; return the command lines of those that still do."""
    deadline = time.monotonic() + limit_s
    while found := dict(processes_with(traces)):
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


def kill_all(traces: Sequence[str]) -> list[str]:
    """Kill every process that shows one of the traces; return their command lines."""
    found = dict(processes_with(traces))
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(found.values())


def processes_with(traces: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield id and command line of the processes, but this one, with a trace in environment or command line."""
    wanted = [trace.encode() for trace in traces]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # A process that ends now or belongs to somebody else cannot be read; it is none of ours.
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            text = command + (entry / "environ").read_bytes()
            if any(trace in text for trace in wanted):
                yield int(entry.name), command.replace(b"\0", b" ").decode(errors="replace").strip()
