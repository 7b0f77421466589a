"""Daemons of a test cluster: programs in the foreground, each with a log, all of them ended in the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

START_LIMIT_S = 60.0
END_LIMIT_S = 10.0
LOG_LINES_SHOWN = 15


class Daemons:
    """What runs for a cluster.

    Args:
        folder: Where each one's log lies, ``NAME.log``.
        environment: Variables that they get besides those of the tests.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._end_with: dict[str, signal.Signals] = {}

    def start(
        self, name: str, command: Sequence[str | Path], end_with: signal.Signals = signal.SIGTERM
    ) -> None:
        """Start a daemon in a session of its own, and remember what will end it."""
        self._end_with[name] = end_with
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                cwd="/",
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one of them."""
        self._running[name].send_signal(number)

    def end(self, name: str) -> None:
        """End one of them, by force if need be, and its process group."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGCONT)
        process.send_signal(self._end_with[name])
        try:
            process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def end_all(self) -> None:
        """End all of them, the last one first."""
        for name in reversed(list(self._running)):
            self.end(name)

    def logs(self) -> str:
        """Return the end of each log."""
        parts = []
        for log in sorted(self._folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
            parts.append("\n".join([f"--- {log.name}", *lines]))
        return "\n".join(parts)


def need_commands(system: str, commands: Sequence[str]) -> None:
    """Skip what needs a batch system that is not installed, or another user than root."""
    missing = [command for command in commands if shutil.which(command, path=search_path()) is None]
    if missing:
        pytest.skip(f"no server: {system} is not installed, {', '.join(missing)} not found")
    if os.geteuid() != 0:
        pytest.skip(f"no server: a test cluster of {system} is started by root only")


def search_path() -> str:
    """Return where programs are looked for: also where those of administrators are."""
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def wait_until(condition: Callable[[], bool], what: str, explain: Callable[[], str] = str) -> None:
    """Check a condition again and again; fail with an explanation when it does not come true.

    Batch systems tell nobody when they are ready, so there is no event to wait for.
    """
    end = time.monotonic() + START_LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}\n{explain()}")
        time.sleep(0.1)


def run(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of a batch system; its exit code is the caller's business."""
    return subprocess.run(
        command,
        env={**os.environ, **environment, "PATH": search_path()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )
