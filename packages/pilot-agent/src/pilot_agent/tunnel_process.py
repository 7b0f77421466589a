"""One ssh process that forwards a local socket: its start, what it says, its end.

The end of its output is its end, and a line of its own making on that output says that the socket listens: nothing here
polls, and whoever reaps children may reap this one.
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

_OPEN = "pilot-tunnel-open"
_LINES_KEPT = 5
_READ_BYTES = 4096
_OPTIONS = (
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    "StreamLocalBindUnlink=yes",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ConnectTimeout=15",
    # A connection of its own: one that is shared with others lives and dies with those.
    "ControlMaster=no",
    "ControlPath=none",
    # Carried out once everything is set up.
    "PermitLocalCommand=yes",
    f"LocalCommand=echo {_OPEN}",
)


def ssh_command(host: str, socket: str, end: str) -> list[str]:
    """Return the command that forwards the local ``socket`` to ``end`` at ``host``."""
    options = [word for option in _OPTIONS for word in ("-o", option)]
    return ["ssh", "-N", "-T", *options, "-L", f"{socket}:{end}", host]


class TunnelProcess:
    """One forwarding process, from its start on. It dies with this process.

    Args:
        command: What to run.

    Raises:
        OSError: This Python cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.pid, self._output = _start(command)
        self.is_open = False
        self.has_ended = False
        self._settled = asyncio.Event()
        self._begun = b""
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)
        asyncio.get_running_loop().add_reader(self._output, self._hear)

    @property
    def words(self) -> str:
        """The last that it said."""
        return " / ".join(self._said) or "ssh said nothing"

    async def settle(self, limit_s: float) -> None:
        """Wait until it is open or has ended; one that is neither in time is killed."""
        try:
            await asyncio.wait_for(self._settled.wait(), limit_s)
        except asyncio.TimeoutError:
            self._said.append(f"nothing came of it within {limit_s:g} s")
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self.has_ended:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._end()

    def _hear(self) -> None:
        data = os.read(self._output, _READ_BYTES)
        if not data:
            self._end()
            return
        *lines, self._begun = (self._begun + data).split(b"\n")
        self._begun = self._begun[-_READ_BYTES:]
        for line in lines:
            self._note(line.decode(errors="replace").strip())

    def _note(self, line: str) -> None:
        if line == _OPEN:
            self.is_open = True
            self._settled.set()
        elif line:
            self._said.append(line)

    def _end(self) -> None:
        self._note(self._begun.decode(errors="replace").strip())
        asyncio.get_running_loop().remove_reader(self._output)
        os.close(self._output)
        self.is_open, self.has_ended = False, True
        self._settled.set()


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
