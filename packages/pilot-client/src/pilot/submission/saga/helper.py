"""The program in which radical.saga runs: ``python -m pilot.submission.saga.helper URL FOLDER``.

radical.saga changes the process it is imported into, leaves shells and threads behind, and can hang. So it gets a process
of its own, the worker (:mod:`pilot.submission.saga.worker`), and a guardian, this program, which adopts all that the
worker starts: shells, ssh, and what they leave. The worker reads requests from standard input. When the application closes
it, dies, or the worker ends, the guardian kills everything below it and removes the folder.

The invariant: no process outlives the guardian, and the guardian does not outlive the application.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import sys
import time
from contextlib import suppress
from typing import NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
END_LIMIT_S = 5.0
_PAUSE_S = 0.02


def main() -> int:
    """Run the worker until it ends or is not wanted any more."""
    url, folder = sys.argv[1:]
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    alive, its_end = os.pipe()
    try:
        if os.fork() == 0:
            _become_worker(url, folder)
        os.close(its_end)
        _await_an_end(alive)
    finally:
        _kill_descendants()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _become_worker(url: str, folder: str) -> NoReturn:
    """Serve in this process; the writing end of the guardian's pipe, which nothing inherits, is closed by its death."""
    code = 1
    try:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        from .worker import serve

        serve(url, folder)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _await_an_end(alive: int) -> None:
    """Wait until the application has closed standard input, or the worker is gone. Nothing is read from either."""
    poll = select.poll()
    for descriptor in (0, alive):
        poll.register(descriptor, 0)  # a hang-up is always told
    poll.poll()


def _kill_descendants() -> None:
    """Kill children until there are none; theirs become ours. What hangs in the kernel is left after a while."""
    end = time.monotonic() + END_LIMIT_S
    while time.monotonic() < end:
        for child in _children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_PAUSE_S)


def _children() -> list[int]:
    own = os.getpid()
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == own]


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _prctl(option: int, value: int) -> None:
    unused = ctypes.c_ulong(0)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(option, ctypes.c_ulong(value), unused, unused, unused) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}, {value}): {os.strerror(code)}")


if __name__ == "__main__":
    sys.exit(main())
