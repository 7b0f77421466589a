"""What runs of which unit of an executor: finding it, signaling it, ending it."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence

from pilot_agent.node.mpi_units import MpiUnits
from pilot_agent.node.starter import Running
from pilot_agent.spawn.process_tree import ProcessTable, kill, signal_tree


class UnitProcesses:
    """The processes of the units of this executor.

    Args:
        running: the units that run, by pid; kept up to date by its owner.
        mpi: knows what MPI units have on this machine beside it.
    """

    def __init__(self, running: Mapping[int, Running], mpi: MpiUnits) -> None:
        self._running = running
        self._mpi = mpi

    def signal(self, requests: Sequence[tuple[Running, int]]) -> None:
        """Send signals to all that runs of units."""
        table = ProcessTable.read()
        processes = self._by_unit(table)
        for unit, signum in requests:
            signal_tree(table, unit.pid, processes.get(unit.order.id, ()), signum)

    def kill(self, units: Container[str]) -> None:
        """End all that runs of units."""
        kill(
            lambda: [
                pid
                for unit, pids in self._by_unit(ProcessTable.read()).items()
                if unit in units
                for pid in pids
            ]
        )

    def kill_strays(self) -> None:
        """End what is left of units that have ended; while no unit runs, also what cannot be told to belong to one."""
        kill(self._strays)

    def _strays(self) -> list[int]:
        leaders = self._leaders()
        running = set(leaders.values())
        return [
            pid
            for unit, pids in ProcessTable.read().units(os.getpid(), leaders).items()
            if unit not in running and (unit or not running)
            for pid in pids
        ]

    def _by_unit(self, table: ProcessTable) -> dict[str, list[int]]:
        """Return all that runs of each unit, under "" what cannot be told to belong to one."""
        processes = table.units(os.getpid(), self._leaders())
        for unit, pids in self._mpi.marked().items():
            processes[unit] = list({*processes.get(unit, ()), *pids})
        return processes

    def _leaders(self) -> dict[int, str]:
        return {pid: unit.order.id for pid, unit in self._running.items()}
