"""When to look for processes that units left behind: at once after one was signaled, else seldom enough to cost little."""

from __future__ import annotations

import time
from typing import Callable

STRAY_CHECK_S = 0.1
"""Shortest time between two looks while other units run."""

_STRAY_CHECK_SHARE = 100
"""A look takes at most one part in this of the executor's time."""


class StrayChecks:
    """Keeps the time of the next look."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self.due_s: float | None = None
        """When to look, by time.monotonic; None while there is no reason to."""

    def want(self, *, urgent: bool) -> None:
        """Have a look when there may be one, or at once."""
        now_s = time.monotonic()
        due_s = now_s if urgent else max(now_s, self._next_s)
        self.due_s = due_s if self.due_s is None else min(due_s, self.due_s)

    def run(self, look: Callable[[], None]) -> None:
        """Look, and let what that took decide when there may be another."""
        self.due_s = None
        began_s = time.monotonic()
        look()
        now_s = time.monotonic()
        self._next_s = now_s + max(STRAY_CHECK_S, _STRAY_CHECK_SHARE * (now_s - began_s))
