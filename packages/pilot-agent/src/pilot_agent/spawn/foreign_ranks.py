"""Ranks of MPI units whose launcher is on another node: no executor has started them, but sshd, slurmstepd or an MPI's daemon.

They are found by the markers in their environment.
"""

from __future__ import annotations

from pilot_agent.spawn.markers import marked_processes
from pilot_agent.spawn.process_tree import ProcessTable, kill, read_process_file

_EXECUTORS = b"pilot_agent.node."
"""Part of the command line of each executor."""


def kill_foreign_ranks(sandbox: str) -> None:
    """End the ranks that launchers of other nodes have started here.

    Args:
        sandbox: the pilot's folder.
    """

    def left() -> list[int]:
        marked = marked_processes(sandbox)
        table = (
            ProcessTable.read()
        )  # afterwards: of one that has begun since, nobody could tell what is above it
        return [pid for pid in marked if pid in table.processes and not _is_below_executor(pid, table)]

    kill(left)


def _is_below_executor(pid: int, table: ProcessTable) -> bool:
    """Whether an executor is above a process: that one will end it, or lets it run."""
    while pid in table.processes:
        pid = table.processes[pid].parent
        if _EXECUTORS in read_process_file(f"/proc/{pid}/cmdline"):
            return True
    return False
