"""Ending all processes of a session on this machine, as /proc shows them, and what has left the session for another one.

An agent leads a session. Its units change their process group, and may change their session; but what loses its parent is
adopted by the agent's first process. So the leader is held still, and killed when nothing is left below it.

The invariant: a process that has been told to end by SIGKILL starts no other one, so a look that finds none but those is
the last one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class _Process(NamedTuple):
    parent: int
    session: int


def kill_session(leader: int) -> None:
    """Kill a session, whatever its processes do about signals, and whatever is below its leader."""
    _signal(leader, signal.SIGSTOP)
    kill_members(leader)
    _signal(leader, signal.SIGKILL)


def kill_members(leader: int) -> None:
    """Kill what belongs to a session or is below its leader, but not the leader."""
    killed: set[int] = set()
    while fresh := _members(leader, _processes()) - killed:
        for pid in fresh:
            _signal(pid, signal.SIGKILL)
        killed |= fresh


def _members(leader: int, processes: Mapping[int, _Process]) -> set[int]:
    found = {pid for pid, process in processes.items() if process.session == leader}
    below = {leader, *found}
    while below:
        below = {pid for pid, process in processes.items() if process.parent in below} - found
        found |= below
    return found - {leader}


def _processes() -> dict[int, _Process]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):  # it has just ended
                # The second field is the program's name, in parentheses and free to contain any character.
                fields = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
                found[int(name)] = _Process(int(fields[1]), int(fields[3]))
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, number)
