"""Waiting until no child is left, be it one that was started or one that was adopted. SIGCHLD is blocked meanwhile."""

from __future__ import annotations

import os
import signal
import time


def are_gone_within(limit_s: float) -> bool:
    """Reap children until none is left or the time is over; return whether none is left."""
    deadline_s = time.monotonic() + limit_s
    while _has_children():
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        signal.sigtimedwait({signal.SIGCHLD}, left_s)
    return True


def _has_children() -> bool:
    """Reap the children that have ended; return whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return False
    return True
