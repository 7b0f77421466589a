"""The agent's side of its lease: when to beat, and when to stop for want of contact.

Only this node's monotonic clock counts here. The lease runs from when we asked for it at the latest, so that our guard
never ends later than the server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FENCE_AT = 0.9
"""Part of the lease after which an agent without contact stops its units."""


class Lease:
    """Two timers: the next heartbeat, and the end.

    Args:
        lease_s: How long the server keeps a silent pilot.
        on_beat: Called when a heartbeat is due, after a third of the lease.
        on_end: Called when the lease may have ended without contact; None: units go on without a lease.
    """

    def __init__(
        self, lease_s: float, on_beat: Callable[[], None], on_end: Callable[[], None] | None
    ) -> None:
        self._lease_s = lease_s
        self._on_beat = on_beat
        self._on_end = on_end
        self._timers: list[asyncio.TimerHandle] = []

    def renewed(self, asked_s: float) -> None:
        """Note a renewal that was asked for at ``asked_s`` of the loop's clock."""
        self.close()
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_at(asked_s + self._lease_s / 3, self._on_beat))
        if self._on_end is not None:
            self._timers.append(loop.call_at(asked_s + self._lease_s * FENCE_AT, self._on_end))

    def close(self) -> None:
        """Stop both timers."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
