"""CPU time of the processes of a run, by role: client, Redis, agent, executors, from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return user and system seconds of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident_kb(pid: int) -> int:
    """Return the resident memory of a process in KB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def role_of(command: str) -> str:
    """Return the role of one of the agent's processes from its command line; empty for what is not one."""
    if "pilot_agent.node.executor" in command:
        return "executors"
    return "agent" if "pilot_agent" in command else ""


def processes_of(client: int, server: int) -> dict[str, list[int]]:
    """Return pids by role: ``client``, ``redis``, and of the client's descendants ``agent`` and ``executors``."""
    found: dict[str, list[int]] = defaultdict(list)
    found["client"].append(client)
    found["redis"].append(server)
    parents = _parents()
    for pid in parents:
        role = role_of(_command(pid)) if _descends(pid, client, parents) else ""
        if role:
            found[role].append(pid)
    return found


def cpu_by_role(client: int, server: int) -> dict[str, float]:
    """Return CPU seconds so far by role."""
    return {
        role: sum(cpu_seconds(pid) for pid in pids) for role, pids in processes_of(client, server).items()
    }


def _parents() -> dict[int, int]:
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    return parents


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        pid = parents.get(pid, 0)
        if pid == root:
            return True
    return False


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
