"""What was said to Redis lately, to be said again to a server that may have forgotten it. Memory only, no I/O.

A server that comes back from a snapshot or from a log that is written once a second has lost its last moments, and a
server that was emptied has lost everything. Whatever was confirmed longer ago than a lease is safe on the first kind.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Any

from pilot_protocol.operation import Operation

KEEP_S = 30.0


class _Said:
    """One operation and when it need not be kept any more, in seconds of the monotonic clock."""

    __slots__ = ("forget_at", "operation")

    def __init__(self, operation: Operation[Any]) -> None:
        self.operation = operation
        self.forget_at = math.inf


class Outbox:
    """Operations in the order in which they were said.

    Args:
        keep_s: How long one is kept after it was confirmed, seconds.
    """

    def __init__(self, keep_s: float) -> None:
        self.keep_s = keep_s
        self._said: deque[_Said] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._said)

    def put(self, operation: Operation[Any]) -> _Said:
        """Keep an operation that is about to be said."""
        said = _Said(operation)
        with self._lock:
            self._said.append(said)
        return said

    def confirm(self, said: _Said, now_s: float) -> None:
        """Note that Redis has carried it out."""
        said.forget_at = now_s + self.keep_s
        self.prune(now_s)

    def take_back(self, said: _Said) -> None:
        """Forget an operation that failed."""
        with self._lock:
            self._said.remove(said)

    def prune(self, now_s: float) -> None:
        """Forget what was confirmed long enough ago."""
        with self._lock:
            while self._said and self._said[0].forget_at <= now_s:
                self._said.popleft()

    def operations(self) -> list[Operation[Any]]:
        """Return what is kept, the oldest first."""
        with self._lock:
            return [said.operation for said in self._said]
