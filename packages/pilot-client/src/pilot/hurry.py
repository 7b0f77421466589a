"""Reads of a thread that cannot wait: over a connection of its own, which gives up in time, whatever others wait for.

The invariant: a read within a limit neither waits for a lock that another thread's read holds nor outlasts the limit by
more than the reads that did succeed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pilot_session.coordination_url import CoordinationUrl
from pilot_session.redis_link import CONNECT_S, PATIENCE_S, REPLY_S, RedisLink

SHORTEST_READ_S = 0.1
"""A server that is there answers in this time."""


class Hurry(threading.local):
    """What limits the reads of each thread.

    Args:
        url: Of the server, with the password.
    """

    def __init__(self, url: CoordinationUrl) -> None:
        self._url = url
        self.link: RedisLink | None = None
        """To be read over; None while there is no limit."""

    @contextmanager
    def within(self, limit_s: float | None) -> Iterator[None]:
        """Limit the reads of this thread, see `Session.within`."""
        if limit_s is None or limit_s >= PATIENCE_S:
            yield
            return
        limit_s = max(limit_s, SHORTEST_READ_S)
        self.link = RedisLink(
            self._url, reply_s=min(limit_s, REPLY_S), patience_s=0, connect_s=min(limit_s, CONNECT_S)
        )
        try:
            yield
        finally:
            self.link.close()
            self.link = None
