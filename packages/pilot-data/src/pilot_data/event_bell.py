"""Wakes those who wait for a change in the catalogue of a session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from pilot_protocol import reads
from pilot_protocol.errors import CoordinationError
from pilot_protocol.keys import Keys
from pilot_session.coordination_url import CoordinationUrl
from pilot_session.redis_link import REPLY_S, RedisLink

BLOCK_S = 10.0
"""How long one read of the events blocks."""


class EventBell:
    """Wakes those who wait when something has happened in a session; a thread reads its events while anybody waits.

    Args:
        url: Of the server, with the password.
        keys: The session's.
    """

    def __init__(self, url: CoordinationUrl, keys: Keys) -> None:
        self._link = RedisLink(url, reply_s=BLOCK_S + REPLY_S)
        self._keys = keys
        self._rung = threading.Condition()
        self._count = 0
        self._cursor = ""
        self._error: CoordinationError | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def wait_for(self, holds: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until something holds; return whether it does.

        Raises:
            CoordinationError: The server does not come back.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        self._listen()
        while True:
            seen = self._count
            if holds():
                return True
            left_s = None if end is None else end - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            with self._rung:
                self._rung.wait_for(partial(self._has_rung_since, seen), left_s)
                if self._error is not None:
                    raise self._error

    def _has_rung_since(self, seen: int) -> bool:
        return self._count != seen or self._error is not None

    def close(self) -> None:
        """Stop listening."""
        self._is_closed = True
        self._link.close()

    def _listen(self) -> None:
        with self._rung:
            if self._thread is not None and self._thread.is_alive():
                return
            self._error = None
            self._cursor = self._link.query(reads.last_event(self._keys))
            self._thread = threading.Thread(target=self._read, name="catalogue events", daemon=True)
            self._thread.start()

    def _read(self) -> None:
        try:
            while not self._is_closed:
                query = reads.events(self._keys, self._cursor, round(BLOCK_S * 1000))
                events = self._link.query(query)
                if events:
                    self._cursor = events[-1].cursor
                    self._ring()
        except CoordinationError as error:
            with self._rung:
                self._error = error
                self._rung.notify_all()

    def _ring(self) -> None:
        with self._rung:
            self._count += 1
            self._rung.notify_all()
