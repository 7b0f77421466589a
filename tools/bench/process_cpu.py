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
    """Return the role of a process from its command line; empty for what is not ours."""
    if "pilot_agent.node" in command or ("executor" in command and "pilot_agent" in command):
        return "executors"
    if "pilot_agent" in command:
        return "agent"
    if "redis-server" in command or "valkey-server" in command:
        return "redis"
    return ""


def processes_of(root: int) -> dict[str, list[int]]:
    """Return pids by role: ``client`` is ``root``, the others are its descendants."""
    found: dict[str, list[int]] = defaultdict(list)
    found["client"].append(root)
    parents = _parents()
    for pid in parents:
        if pid != root and _descends(pid, root, parents):
            role = role_of(_command(pid))
            if role:
                found[role].append(pid)
    return found


def cpu_by_role(root: int) -> dict[str, float]:
    """Return CPU seconds so far by role."""
    return {role: sum(cpu_seconds(pid) for pid in pids) for role, pids in processes_of(root).items()}


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
