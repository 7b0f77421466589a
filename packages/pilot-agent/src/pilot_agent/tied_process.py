"""One process that is tied to the head: it dies with it, what it says is heard line by line, and so is its end.

The end of its output is its end: nothing here polls, and whoever reaps children may reap this one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from .import_root import import_root
from .spawn.tied import BOOT

_READ_BYTES = 4096


class TiedProcess:
    """One process, from its start on; signals to end the job do not reach it.

    Args:
        command: What to run.
        lines_kept: How many of its last lines are remembered.

    Raises:
        OSError: This Python cannot be started.
    """

    def __init__(self, command: Sequence[str], lines_kept: int) -> None:
        self.has_ended = False
        self.said: deque[str] = deque(maxlen=lines_kept)
        self._begun = b""
        self.pid, self._output = _start(command)
        asyncio.get_running_loop().add_reader(self._output, self._hear)

    def kill(self) -> None:
        """End it at once."""
        if self.has_ended:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._end()

    def note(self, line: str) -> None:
        """Take a line that it said."""
        self.said.append(line)

    def ended(self) -> None:
        """It has ended."""

    def _hear(self) -> None:
        data = os.read(self._output, _READ_BYTES)
        if not data:
            self._end()
            return
        *lines, self._begun = (self._begun + data).split(b"\n")
        self._begun = self._begun[-_READ_BYTES:]
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        if text:
            self.note(text)

    def _end(self) -> None:
        self._take(self._begun)
        asyncio.get_running_loop().remove_reader(self._output)
        os.close(self._output)
        self.has_ended = True
        self.ended()


def _start(command: Sequence[str]) -> tuple[int, int]:
    """Start it; returns its pid and where its output is read."""
    output, its_output = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    argv = [sys.executable, "-I", "-S", "-c", BOOT, import_root(), str(os.getpid()), *command]
    actions = [(os.POSIX_SPAWN_DUP2, fd, at) for fd, at in ((null, 0), (its_output, 1), (its_output, 2))]
    try:
        pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions, setsigmask=[])
    except OSError:
        os.close(output)
        raise
    finally:
        os.close(its_output)
        os.close(null)
    os.set_blocking(output, False)
    return pid, output
