"""The process that runs a job: it starts it in a session of its own, ends it when it must, and writes down how it ended.

The invariant: when a job has ended, no process of its session is left.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from .cluster import ENDED, Cluster, Record
from .systems import SYSTEMS, System

NEWS = {signal.SIGCHLD, signal.SIGTERM}
"""Both are blocked: they are waited for."""


def main() -> None:
    """Run the job whose cluster and number are the arguments."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    os.chdir("/")
    cluster = Cluster(folder)
    with cluster.locked():  # whoever started us writes that down first
        record = cluster.job(number)
    if record is None:
        raise SystemExit(f"job {number} is not in {folder}")
    run(cluster, record)


def run(cluster: Cluster, record: Record) -> None:
    """Run a job and write down how it ended."""
    system = SYSTEMS[cluster.settings.system]
    pid = spawn(cluster, record, system)
    record = cluster.change(record.number, pid=pid)
    system.tell(cluster, record)
    status, reason = watch(
        pid, record.walltime_min * cluster.settings.minute_s, cluster.settings.grace_s, system
    )
    for left in session(pid):
        send(left, signal.SIGKILL)
    how = {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"code": os.WEXITSTATUS(status)}
    ended: dict[str, Any] = {"state": ENDED, "ended": time.time(), "reason": reason, **how}
    system.tell(cluster, replace(record, **ended))  # logs are whole when a job is gone from its queue
    cluster.change(record.number, **ended)


def spawn(cluster: Cluster, record: Record, system: System) -> int:
    """Start the program of a job as a batch system would: nothing of our own environment goes with it."""
    output = record.output or os.devnull
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    shell = 'cd "$1" || exit 1; shift; exec "$@"'
    return os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", shell, "sh", record.folder, *record.argv],
        {**record.environment, **system.environment(cluster, record)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2)
            if record.error in {"", output}
            else (os.POSIX_SPAWN_OPEN, 2, record.error, flags, 0o600),
        ],
        setsid=True,
        setsigmask=[],
    )


def watch(pid: int, walltime_s: float, grace_s: float, system: System) -> tuple[int, str]:
    """Wait for a job; return its wait status, and why it was ended if it was."""
    reason, signals = "", list[int]()
    deadline = time.monotonic() + walltime_s
    while True:
        news = signal.sigtimedwait(NEWS, max(0.0, deadline - time.monotonic()))
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status, reason
        if news is not None and (news.si_signo == signal.SIGCHLD or reason):
            continue
        if not reason:
            reason = "walltime" if news is None else "cancelled"
            signals = list(system.walltime_signals if news is None else system.cancel_signals)
        number = signals.pop(0) if signals else signal.SIGKILL
        for process in session(pid):
            send(process, number)
        deadline = time.monotonic() + grace_s


def session(leader: int) -> Sequence[int]:
    """Return the processes of a session."""
    return [process for process, _, of in _processes() if of == leader]


def children(parent: int) -> Sequence[int]:
    """Return the processes that a process has started."""
    return [process for process, of, _ in _processes() if of == parent]


def _processes() -> Iterator[tuple[int, int, int]]:
    """Yield number, parent and session of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
            yield int(folder.name), int(fields[1]), int(fields[3])


def send(process: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(process, number)
