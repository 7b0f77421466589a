"""The MPI units of one machine: those whose launcher this executor started, and ranks of others that are to be ended.

Launchers do not all end a unit whose rank has failed, and what they leave on other hosts is no descendant of theirs. So the
first rank that fails leaves a file, which is looked for; and ranks are found by the markers in their environment.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pilot_agent.launch.rank_script import FAILED
from pilot_agent.node.starter import Running
from pilot_agent.spawn.foreign_ranks import kill_foreign_ranks
from pilot_agent.spawn.markers import Owner, kill_units, marked_processes
from pilot_agent.spawn.process_tree import send

LOOK_S = 1.0
"""Time between two looks for ranks that have failed."""

GRACE_S = 3.0
"""How long a launcher may take to end a unit of which a rank has failed, and to say why."""

SWEEP_AGAIN_S = 0.1
"""Time between two looks for killed processes that are not gone yet."""


class RankFailure(NamedTuple):
    """The rank that failed first."""

    rank: str
    code: int
    what: str
    """exit for the program itself; otherwise the step before it."""


def read_failure(launch_folder: str) -> RankFailure | None:
    """Return what the rank that failed first has left in the folder of a start; None when no rank has."""
    try:
        with open(os.path.join(launch_folder, FAILED), encoding="utf-8") as file:
            rank, code, what = file.read().split()
    except (OSError, ValueError):  # there is none, or it is being written
        return None
    return RankFailure(rank, int(code), what) if code.isdigit() else None


class MpiUnits:
    """Looks after the MPI units of one executor, and after ranks of the pilot's other MPI units on its machine.

    Args:
        sandbox: the pilot's folder.
    """

    def __init__(self, sandbox: str) -> None:
        self._sandbox = sandbox
        self._running: dict[str, Running] = {}
        self._failed_s: dict[str, float] = {}
        self._look_s = 0.0
        self._sweeping: Counter[Owner] = Counter()
        """How often each is to be answered."""
        self._sweep_s = 0.0

    @property
    def due_s(self) -> float | None:
        """When to call `look` and `swept`, by time.monotonic; None while there is no reason to."""
        times = ([self._look_s] if self._running else []) + ([self._sweep_s] if self._sweeping else [])
        return min(times, default=None)

    def started(self, unit: Running) -> None:
        """Look after a unit whose launcher was started."""
        if not self._running:
            self._look_s = time.monotonic() + LOOK_S
        self._running[unit.order.id] = unit

    def ended(self, unit: Running) -> None:
        """End what is left on this machine of a unit whose launcher has ended."""
        del self._running[unit.order.id]
        self._failed_s.pop(unit.order.id, None)
        kill_units(self._sandbox, {_owner_of(unit)})

    def marked(self) -> dict[str, list[int]]:
        """Return the marked processes of running MPI units, by unit; the launchers' descendants are among them."""
        owners = {_owner_of(unit) for unit in self._running.values()}
        found: dict[str, list[int]] = {}
        for pid, owner in marked_processes(self._sandbox).items() if owners else ():
            if owner in owners:
                found.setdefault(owner.unit, []).append(pid)
        return found

    def look(self, now_s: float) -> list[str]:
        """Return the units of which a rank has failed and that the launcher does not end."""
        self._look_s = now_s + LOOK_S
        for name, unit in self._running.items():
            if name not in self._failed_s and read_failure(unit.launch_folder):
                self._failed_s[name] = now_s
        return [name for name, failed_s in self._failed_s.items() if failed_s + GRACE_S <= now_s]

    def sweep(self, requests: Iterable[Sequence[Any]]) -> None:
        """Signal what other executors' units have on this machine: (unit, attempt, signal) each. Kills are answered."""
        for unit, attempt, signum in requests:
            owner = Owner(str(unit), str(attempt))
            if signum == signal.SIGKILL:
                self._sweeping[owner] += 1
                self._sweep_s = 0.0
                continue
            for pid, found in marked_processes(self._sandbox).items():
                if found == owner:
                    send(pid, signum)

    def swept(self, now_s: float) -> list[str]:
        """Kill what is to be killed; return the units of which nothing is left any more, once for each time it was asked."""
        self._sweep_s = now_s + SWEEP_AGAIN_S
        asked = set(self._sweeping)
        if asked:
            kill_units(self._sandbox, asked)
        left = set(marked_processes(self._sandbox).values()) if asked else set()
        return [owner.unit for owner in asked - left for _ in range(self._sweeping.pop(owner))]

    def kill_all(self) -> None:
        """End the ranks of the pilot on this machine that no executor is above."""
        kill_foreign_ranks(self._sandbox)


def _owner_of(unit: Running) -> Owner:
    return Owner(unit.order.id, str(unit.order.attempt))
