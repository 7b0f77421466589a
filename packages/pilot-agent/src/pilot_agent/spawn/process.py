"""Starting one process with os.posix_spawn, which costs the same whatever the size of this process.

What posix_spawn cannot set for the child (working directory, affinity) is set in this process before and inherited.
"""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

from pilot_agent.spawn.failures import StartError, cannot, exec_failure
from pilot_agent.spawn.sandbox import Streams

_NO_SIGNALS: list[int] = []
_RESET_SIGNALS = [
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGCHLD,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
]
"""Signals a program expects to be at their default. Python ignores SIGPIPE and SIGXFSZ, nohup SIGHUP, a shell's `&`
SIGINT and SIGQUIT; what is ignored stays so across exec."""


class Affinity:
    """The set of cores this process, and so the next one it starts, may run on.

    It is not set back after a start: a single-threaded executor may well sit on the cores of its last unit, where it
    sleeps until a signal wakes it ahead of what computes there, and units of the same cores in a row need no system call.
    """

    def __init__(self) -> None:
        self._all = frozenset(os.sched_getaffinity(0))
        self._asked: list[int] | None = None

    def set(self, cores: list[int] | None) -> None:
        """Restrict to `cores`; None, or as many as there are, lifts the restriction.

        Raises:
            StartError: a core is not among those given to this process.
        """
        if cores == self._asked:
            return
        wanted = self._all if cores is None or len(cores) >= len(self._all) else frozenset(cores)
        try:
            os.sched_setaffinity(0, wanted)
        except OSError as error:
            allowed = f"this process was given {sorted(self._all)}"
            raise cannot(f"cannot pin to the cores {sorted(wanted)} ({allowed})", error) from error
        self._asked = cores


class Program(NamedTuple):
    """What is executed: the file, its argv (whose first element is the name it was called by), all its environment."""

    path: str
    argv: list[str]
    environment: dict[str, str]


def spawn(program: Program, streams: Streams) -> int:
    """Start `program` in the current folder as leader of a new process group; return its pid.

    It inherits nothing but `streams`: every descriptor Python opens is close-on-exec.

    Raises:
        StartError: the kernel cannot execute it.
    """
    try:
        return os.posix_spawn(
            program.path,
            program.argv,
            program.environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, streams.stdin, 0),
                (os.POSIX_SPAWN_DUP2, streams.stdout, 1),
                (os.POSIX_SPAWN_DUP2, streams.stderr, 2),
            ],
            setpgroup=0,
            setsigmask=_NO_SIGNALS,
            setsigdef=_RESET_SIGNALS,
        )
    except OSError as error:
        raise exec_failure(error, program.path, program.argv, program.environment) from error
    except ValueError as error:
        # A NUL byte, or a character that no byte stands for.
        raise StartError(
            f"arguments or environment cannot be given to a program: {error}", "rejected"
        ) from error
