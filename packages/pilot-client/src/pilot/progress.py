"""A line that shows how far compute units are, on standard error: in place on a terminal, now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from pilot_protocol.states import State, is_final

ON_TERMINAL_EVERY_S = 0.1
ELSEWHERE_EVERY_S = 5.0


class ProgressLine:
    """Shows counts; too many calls are no burden."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._next = 0.0

    def __call__(self, counts: Mapping[State, int]) -> None:
        """Show the number of units in each state."""
        total = sum(counts.values())
        ended = sum(number for state, number in counts.items() if is_final(state))
        now = time.monotonic()
        if now < self._next and ended < total:
            return
        self._next = now + (ON_TERMINAL_EVERY_S if self._on_terminal else ELSEWHERE_EVERY_S)
        shown = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
        start = "\r\x1b[K" if self._on_terminal else ""
        end = "" if self._on_terminal and ended < total else "\n"
        sys.stderr.write(f"{start}{ended} of {total} ended: {shown}{end}")
        sys.stderr.flush()
