"""Finding and ending everything a unit started, however it hid: other process groups, sessions, double forks.

All of it descends from a subreaper, which adopts what loses its parent, so the tree below the subreaper is complete and
no other process needs to be looked at. An adopted process is told apart by the variable `MARKER` in its environment.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Container, Iterable, Mapping
from typing import Callable, NamedTuple

from pilot_agent.spawn.reaper import signal_group

MARKER = "PILOT_UNIT_ID"
"""Environment variable with the id of the unit that a process belongs to."""

_MAX_ROUNDS = 100
_READ_BYTES = 8192


class Process(NamedTuple):
    """A process as /proc shows it."""

    parent: int
    group: int


class ProcessTable:
    """The processes of this machine at one moment, by pid."""

    def __init__(self, processes: Mapping[int, Process]) -> None:
        self.processes = processes
        self._children: dict[int, list[int]] = {}
        for pid, process in processes.items():
            self._children.setdefault(process.parent, []).append(pid)

    @classmethod
    def read(cls) -> ProcessTable:
        """Look at /proc; costs about 10 microseconds for each process of the machine."""
        processes: dict[int, Process] = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and (stat := read_process_file(f"/proc/{name}/stat")):
                # The second field is the program's name, in parentheses and free to contain any character.
                fields = stat[stat.rindex(b")") + 2 :].split(None, 3)
                processes[int(name)] = Process(int(fields[1]), int(fields[2]))
        return cls(processes)

    def descendants(self, root: int, spare: Container[int] = ()) -> list[int]:
        """Return the pids below `root`, parents first; those in `spare` and what is below them are left out."""
        found: list[int] = []
        parents = [root]
        while parents:
            below = [pid for pid in self._children.get(parents.pop(), ()) if pid not in spare]
            found += below
            parents += below
        return found

    def units(self, subreaper: int, leaders: Mapping[int, str]) -> dict[str, list[int]]:
        """Return what runs below `subreaper`, by unit.

        Args:
            subreaper: pid of the process that started the units.
            leaders: unit id of each process group leader it started.

        Returns:
            Pids of each unit id, running or ended; under "" those of which no unit can be told.
        """
        units: dict[str, list[int]] = {}
        for child in self._children.get(subreaper, ()):
            branch = [child, *self.descendants(child)]
            unit = leaders.get(child) or leaders.get(self.processes[child].group) or _marked_unit(branch)
            units.setdefault(unit, []).extend(branch)
        return units


def _marked_unit(branch: Iterable[int]) -> str:
    key = f"\0{MARKER}=".encode()
    for pid in branch:
        _, found, rest = (b"\0" + read_process_file(f"/proc/{pid}/environ")).partition(key)
        if found:
            return os.fsdecode(rest.partition(b"\0")[0])
    return ""


def signal_tree(table: ProcessTable, leader: int, pids: Iterable[int], signum: int) -> None:
    """Send `signum` to the process group of `leader` as a whole and to those of `pids` that are outside of it."""
    signal_group(leader, signum)
    for pid in pids:
        if pid not in table.processes or table.processes[pid].group != leader:
            send(pid, signum)


def kill(find: Callable[[], Iterable[int]]) -> None:
    """End all processes that `find` returns, asking again until it finds no new one.

    They are stopped first: a stopped process cannot fork, so once a look finds nothing new, nothing can appear any
    more. What forks faster than it can be stopped is left after `_MAX_ROUNDS` looks; the caller looks again later.
    """
    stopped: set[int] = set()
    for _ in range(_MAX_ROUNDS):
        fresh = set(find()) - stopped
        if not fresh:
            break
        for pid in fresh:
            send(pid, signal.SIGSTOP)
        stopped |= fresh
    for pid in stopped:
        send(pid, signal.SIGKILL)


def kill_descendants(root: int, spare: Container[int] = ()) -> None:
    """End everything below `root` except the processes in `spare` and what is below them."""
    kill(lambda: ProcessTable.read().descendants(root, spare))


def send(pid: int, signum: int) -> None:
    """Send `signum` to a process; one that is gone, or became another user's, is left alone."""
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        return


def read_process_file(path: str) -> bytes:
    """Return a file of /proc, empty when its process is gone or another user's."""
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            # Only a file with more to give fills a buffer.
            parts = [os.read(fd, _READ_BYTES)]
            while len(parts[-1]) == _READ_BYTES:
                parts.append(os.read(fd, _READ_BYTES))
        finally:
            os.close(fd)
    except OSError:
        return b""
    return b"".join(parts)
