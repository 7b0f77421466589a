"""One ssh process that forwards a local socket: its start, what it says, its end.

A line of its own making on its output says that the socket listens: nothing here polls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .tied_process import TiedProcess

_OPEN = "pilot-tunnel-open"
_LINES_KEPT = 5
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


class TunnelProcess(TiedProcess):
    """One forwarding process, from its start on.

    Args:
        command: What to run.

    Raises:
        OSError: This Python cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.is_open = False
        self._settled = asyncio.Event()
        super().__init__(command, _LINES_KEPT)

    @property
    def words(self) -> str:
        """The last that it said."""
        return " / ".join(self.said) or "ssh said nothing"

    async def settle(self, limit_s: float) -> None:
        """Wait until it is open or has ended; one that is neither in time is killed."""
        try:
            await asyncio.wait_for(self._settled.wait(), limit_s)
        except asyncio.TimeoutError:
            self.said.append(f"nothing came of it within {limit_s:g} s")
            self.kill()

    def note(self, line: str) -> None:
        """Take a line that it said."""
        if line == _OPEN:
            self.is_open = True
            self._settled.set()
        else:
            super().note(line)

    def ended(self) -> None:
        """It has ended, open or not."""
        self.is_open = False
        self._settled.set()
