"""The agent's way to a Redis that its node does not reach: a socket of its own, which ssh forwards from another host.

Opened when the agent wants to connect, and again when it wants to connect once more: a tunnel that ended is noticed as a
lost connection. Failures come at growing distances, since a login host is a place to be polite to. What ssh says goes to
the log, and into the error that ends an agent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress

from pilot_protocol.errors import CoordinationError

from .redis_link import LinkLostError
from .tunnel_process import TunnelProcess, ssh_command
from .tunnel_url import TunnelTarget

logger = logging.getLogger(__name__)

OPEN_LIMIT_S = 60.0
"""How long ssh may take to set a tunnel up."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
LONG_LIVED_S = 60.0
"""A tunnel that was open for so long was a good one; the next one is opened without a pause."""
MOST_REFUSALS = 3
"""How often ssh may be refused before the first tunnel, until it is certain that nobody will let it in."""

_REFUSED = re.compile(
    r"Permission denied|Host key verification failed|HOST IDENTIFICATION HAS CHANGED|cannot be started"
)
_FOLDERS = ("/tmp", "/dev/shm", "/var/tmp")  # noqa: S108 - a folder of our own in there; a socket's path must be short


class Tunnel:
    """The way to one Redis server.

    Args:
        host: As ssh takes it.
        target: Where it leads.
        folder: Where its socket lies: short, and ours alone.
    """

    def __init__(self, host: str, target: TunnelTarget, folder: str) -> None:
        self._host, self._target, self._folder = host, target, folder
        self.socket = f"{folder}/redis.sock"
        self._process: TunnelProcess | None = None
        self._pause_s = 0.0
        self._opened_s: float | None = None
        self._refusals = 0

    @property
    def pids(self) -> Collection[int]:
        """The process that runs now, if there is one."""
        return () if self._process is None or self._process.has_ended else (self._process.pid,)

    async def open(self) -> None:
        """See to it that the tunnel is open; returns at once when it is.

        Raises:
            LinkLostError: ssh does not get through; try again later.
            CoordinationError: ssh is not let in, or is not there: trying again does not help.
        """
        if self._process is not None:
            if self._process.is_open:
                return
            self._take_leave(self._process)
        await asyncio.sleep(self._pause_s)
        try:
            self._process = TunnelProcess(ssh_command(self._host, self.socket, self._target.end))
        except (
            OSError
        ) as error:  # no room for a process or a descriptor, which may pass; units run on meanwhile
            raise LinkLostError(
                f"the tunnel to {self._host} cannot be opened now: {error.strerror}"
            ) from error
        await self._process.settle(OPEN_LIMIT_S)
        if not self._process.is_open:
            raise self._failure(self._process.words)
        self._opened_s = asyncio.get_running_loop().time()
        logger.info("tunnel.opened host=%s", self._host, extra={"action": "tunnel.opened"})

    def _take_leave(self, process: TunnelProcess) -> None:
        """Note how long the last one was good, and what it said in the end."""
        opened_s, self._opened_s, self._process = self._opened_s, None, None
        if opened_s is None:
            self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            return
        logger.warning("tunnel.ended host=%s %s", self._host, process.words, extra={"action": "tunnel.ended"})
        self._refusals = -1
        is_good = asyncio.get_running_loop().time() - opened_s >= LONG_LIVED_S
        self._pause_s = 0.0 if is_good else min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)

    def _failure(self, words: str) -> CoordinationError:
        logger.warning("tunnel.failed host=%s %s", self._host, words, extra={"action": "tunnel.failed"})
        if self._refusals >= 0 and _REFUSED.search(words):
            self._refusals += 1
        if self._refusals < MOST_REFUSALS:
            return LinkLostError(f"the tunnel to {self._host} does not open: {words}")
        return CoordinationError(
            f"the tunnel to {self._host} cannot be opened: {words}; "
            f"see that `ssh -o BatchMode=yes {self._host} true` works on the machine of the pilot, without a question",
            transient=False,
        )

    def close(self) -> None:
        """End it, and leave nothing of it."""
        if self._process is not None:
            self._process.kill()
        with suppress(OSError):
            os.unlink(self.socket)
        with suppress(OSError):
            os.rmdir(self._folder)


def make_folder(pilot: str, among: Sequence[str] = _FOLDERS) -> str:
    """Make the folder for a pilot's socket, or take the one that a former head has left.

    Raises:
        CoordinationError: No folder can be used.
    """
    refusals = []
    for parent in among:
        folder = f"{parent}/pilot-{os.geteuid()}-{pilot}"
        try:
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            status = os.lstat(folder)
        except OSError as error:
            refusals.append(f"{folder}: {error.strerror}")
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
            return folder
        refusals.append(f"{folder} is not ours alone")
    raise CoordinationError(
        f"there is no folder for the socket of the tunnel: {'; '.join(refusals)}", transient=False
    )
