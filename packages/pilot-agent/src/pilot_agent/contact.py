"""How long ago Redis was reached, how long to wait before the next try, and when to give up.

The invariant: what is said about a server names its URL without the password.
"""

from __future__ import annotations

import asyncio
import os
from urllib.parse import urlsplit

from pilot_protocol.errors import CoordinationError

from .config import AgentConfig

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0


class Contact:
    """Contact to a server, by the clock of the running loop.

    Args:
        patience_s: How long a server that is gone is looked for.
        first_patience_s: How long one is looked for that was never reached: most likely there is no way to it.
        route: What is tried, and what to do when it leads nowhere; see :func:`describe_route`.
    """

    def __init__(self, patience_s: float, first_patience_s: float, route: str) -> None:
        self._patience_s = patience_s
        self._first_patience_s = first_patience_s
        self._route = route
        self._was_made = False
        self._made_s = asyncio.get_running_loop().time()
        self._pause_s = FIRST_PAUSE_S

    def made(self) -> None:
        """Note that the server answers. It may still be unable to serve, so pauses do not get shorter by this."""
        self._was_made = True
        self._made_s = asyncio.get_running_loop().time()

    def served(self) -> None:
        """Note that the server has done what it was asked to do."""
        self.made()
        self._pause_s = FIRST_PAUSE_S

    def hurry(self, patience_s: float) -> None:
        """Be less patient from now on."""
        self._patience_s = min(self._patience_s, patience_s)

    async def wait(self, error: CoordinationError) -> None:
        """Wait before the next try, each time longer.

        Raises:
            CoordinationError: There was no contact for too long; ``error`` is why.
        """
        patience_s = self._patience_s if self._was_made else min(self._patience_s, self._first_patience_s)
        if asyncio.get_running_loop().time() > self._made_s + patience_s:
            raise CoordinationError(
                f"no contact to Redis for {patience_s:g} s: {error}; {self._route}"
            ) from error
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


def contact_for(config: AgentConfig) -> Contact:
    """Return the contact of an agent on this machine."""
    route = describe_route(config.coordination_url, os.uname().nodename, is_tunnel=config.tunnel is not None)
    return Contact(config.lost_timeout_s, config.first_patience_s, route)


def describe_route(url: str, node: str, *, is_tunnel: bool) -> str:
    """Return what a pilot's user is told when Redis is not reached.

    Args:
        url: The coordination URL; its password is left out.
        node: The machine that tries.
        is_tunnel: Whether the way leads through SSH.
    """
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if is_tunnel:
        return (
            f"{node} goes to {place} through a tunnel: see whether the server runs, and whether the application does "
            "that holds the tunnel's other end"
        )
    return (
        f"{node} goes straight to {place}: see whether the server runs, listens to other machines, and has a name that "
        "is valid there; or add 'tunnel': True to the pilot's description, so that its agent goes through SSH"
    )
