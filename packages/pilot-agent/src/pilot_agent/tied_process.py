"""One process that is tied to the head: it dies with it, what it says is heard line by line, and so is its end.

The end of its output is its end: nothing here polls, and whoever reaps children may reap this one. What it writes to
standard error counts as said, unless that has a place of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from .import_root import import_root
from .spawn.tied import BOOT

_READ_BYTES = 4096


class Surroundings(NamedTuple):
    """What a process finds when it starts; descriptors stay the caller's.

    Attributes:
        stdin: Where it reads; -1 for nothing.
        stderr: Where its errors go; -1: to its output.
        environment: None for that of this process.
    """

    stdin: int = -1
    stderr: int = -1
    environment: Mapping[str, str] | None = None


_USUAL = Surroundings()


class TiedProcess:
    """One process, from its start on; signals to end the job do not reach it.

    Args:
        command: What to run.
        lines_kept: How many of its last lines are remembered.
        surroundings: What it finds.

    Raises:
        OSError: This Python cannot be started.
    """

    longest_line = _READ_BYTES
    """Bytes of a line that has not ended yet which are kept; of a longer one the last."""

    def __init__(self, command: Sequence[str], lines_kept: int, surroundings: Surroundings = _USUAL) -> None:
        self.has_ended = False
        self.said: deque[str] = deque(maxlen=lines_kept)
        self._begun = b""
        self.pid, self._output = _start(command, surroundings)
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
        self._begun = self._begun[-self.longest_line :]
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


def _start(command: Sequence[str], surroundings: Surroundings) -> tuple[int, int]:
    """Start it; returns its pid and where its output is read."""
    output, its_output = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    argv = [sys.executable, "-I", "-S", "-c", BOOT, import_root(), str(os.getpid()), *command]
    stdin, stderr, environment = surroundings
    streams = (null if stdin < 0 else stdin, its_output, its_output if stderr < 0 else stderr)
    actions = [(os.POSIX_SPAWN_DUP2, fd, at) for at, fd in enumerate(streams)]
    environment = os.environ if environment is None else environment
    try:
        pid = os.posix_spawn(sys.executable, argv, environment, file_actions=actions, setsigmask=[])
    except OSError:
        os.close(output)
        raise
    finally:
        os.close(its_output)
        os.close(null)
    os.set_blocking(output, False)
    return pid, output
