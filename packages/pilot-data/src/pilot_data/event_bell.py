"""Wakes those who wait for a change in the catalogue of a session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pilot_protocol import reads
from pilot_protocol.errors import PilotError
from pilot_protocol.keys import Keys
from pilot_session.coordination_url import CoordinationUrl
from pilot_session.redis_link import PATIENCE_S, REPLY_S, RedisLink

BLOCK_S = 10.0
"""How long one read of the events blocks."""


class EventBell:
    """Wakes those who wait when something has happened in a session; a thread reads its events while anybody waits.

    A server that was restarted may have forgotten something, so that rings, too.

    Args:
        url: Of the server, with the password.
        keys: The session's.
        patience_s: For how many seconds a server that is away is waited for.
    """

    def __init__(self, url: CoordinationUrl, keys: Keys, *, patience_s: float = PATIENCE_S) -> None:
        self._link = RedisLink(
            url, reply_s=BLOCK_S + REPLY_S, patience_s=patience_s, restore=lambda _say: self.ring()
        )
        self._keys = keys
        self._rung = threading.Condition()
        self._count = 0
        self._waiting = 0
        self._error: PilotError | None = None
        self._thread: threading.Thread | None = None

    def wait_for(self, holds: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until something holds; return whether it does.

        Raises:
            CoordinationError: The server does not come back, or the bell was closed.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        with self._listening():
            while True:
                seen = self._count
                if holds():
                    return True
                left_s = None if end is None else end - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return False
                self._await_ring(seen, left_s)

    def ring(self) -> None:
        """Wake all that wait in this process."""
        with self._rung:
            self._count += 1
            self._rung.notify_all()

    def close(self) -> None:
        """Stop listening; who waits gets a CoordinationError."""
        self._link.close()

    def _await_ring(self, seen: int, timeout_s: float | None) -> None:
        with self._rung:
            self._rung.wait_for(lambda: self._count != seen or self._error is not None, timeout_s)
            if self._error is not None:
                raise self._error

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Have the events read, from now on, until the end of the context at least."""
        with self._rung:
            if self._thread is None:
                self._error = None
                cursor = self._link.query(reads.last_event(self._keys))
                self._thread = threading.Thread(
                    target=self._read, args=(cursor,), name="catalogue events", daemon=True
                )
                self._thread.start()
            self._waiting += 1
        try:
            yield
        finally:
            with self._rung:
                self._waiting -= 1

    def _read(self, cursor: str) -> None:
        try:
            while self._is_wanted():
                events = self._link.query(reads.events(self._keys, cursor, round(BLOCK_S * 1000)))
                if events:
                    cursor = events[-1].cursor
                if any(event.data for event in events):  # compute units change much more often
                    self.ring()
        except PilotError as error:
            with self._rung:
                self._thread, self._error = None, error
                self._rung.notify_all()

    def _is_wanted(self) -> bool:
        with self._rung:
            if not self._waiting:
                self._thread = None
            return self._waiting > 0
