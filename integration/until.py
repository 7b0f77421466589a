"""Waiting for what tells nobody: batch systems, process tables, files of other programs."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT_S = 60.0


def until(
    condition: Callable[[], object], tell: Callable[[], object] = str, limit_s: float = LIMIT_S
) -> None:
    """Check a condition until it comes true.

    Args:
        condition: What is waited for.
        tell: Returns what is said when it did not come true.
        limit_s: How long to go on.
    """
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {tell()}"
        time.sleep(0.05)
