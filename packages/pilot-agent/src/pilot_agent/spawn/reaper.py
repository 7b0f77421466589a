"""Collecting processes that ended, in the order that leaves nothing of theirs behind.

Invariant: a unit's process group is killed while its leader is still a zombie. Until the zombie is reaped nobody can
get its number, so the signal can only hit what the unit left in its group.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Container
from typing import NamedTuple

_PEEK = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Exit(NamedTuple):
    """One process that ended."""

    pid: int
    code: int
    """Exit code, or minus the number of the signal that ended it."""
    user_s: float
    system_s: float
    peak_memory_kb: int
    """Never below the size of this process itself: the kernel counts the moment between spawn and exec too."""


def reap(leaders: Container[int]) -> tuple[list[Exit], bool]:
    """Reap every child that has ended, without waiting.

    Args:
        leaders: pids of the process group leaders this process started. Other children are orphans it adopted as
            subreaper; they are reaped in silence.

    Returns:
        The ends of leaders, and whether any child is left.
    """
    exits: list[Exit] = []
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, _PEEK)
        except ChildProcessError:
            return exits, False
        if ended is None:
            return exits, True
        pid = ended.si_pid
        if pid in leaders:
            signal_group(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        if pid in leaders:
            code = os.waitstatus_to_exitcode(status)
            exits.append(Exit(pid, code, usage.ru_utime, usage.ru_stime, usage.ru_maxrss))


def signal_group(leader: int, signum: int) -> None:
    """Send `signum` to a process group; one that is gone, or became another user's, is left alone."""
    try:
        os.killpg(leader, signum)
    except (ProcessLookupError, PermissionError):
        return
