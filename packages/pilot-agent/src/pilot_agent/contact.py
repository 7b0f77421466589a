"""How long ago Redis was reached, how long to wait before the next try, and when to give up."""

from __future__ import annotations

import asyncio

from pilot_protocol.errors import CoordinationError

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

_TUNNEL = "; one that reaches it by SSH only needs 'tunnel': True in the pilot's description"


class Contact:
    """Contact to a server, by the clock of the running loop.

    Args:
        patience_s: How long a server that is gone is looked for.
        tunneled: Whether it is reached through a tunnel.
    """

    def __init__(self, patience_s: float, *, tunneled: bool = False) -> None:
        self._patience_s = patience_s
        self._advice = "" if tunneled else _TUNNEL
        self._made_s = asyncio.get_running_loop().time()
        self._pause_s = FIRST_PAUSE_S

    def made(self) -> None:
        """Note that the server answers. It may still be unable to serve, so pauses do not get shorter by this."""
        self._made_s = asyncio.get_running_loop().time()
        self._advice = ""  # this machine reaches it

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
        if asyncio.get_running_loop().time() > self._made_s + self._patience_s:
            raise CoordinationError(
                f"no contact to Redis for {self._patience_s:g} s: {error}; "
                f"see whether the server runs and whether this machine reaches it{self._advice}"
            ) from error
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
