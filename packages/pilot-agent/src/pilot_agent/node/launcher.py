"""How an executor is started: by the head, or by the warden of another node. Part of their processes; knows no event loop.

The executor is one `python -I -S` process: it needs no site packages, and neither the user's PYTHONPATH nor a start-up
file can reach into it, while the units inherit both untouched.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence
from typing import NamedTuple

from pilot_agent.import_root import import_root

_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from {} import main; main()"


class StartedExecutor(NamedTuple):
    """An executor process and the head's end of the connection to it."""

    pid: int
    socket: socket.socket
    """Non-blocking; its end of file means that the executor is gone."""


def start_executor(sandbox: str, executor: int, journal: str, lifeline: int = -1) -> StartedExecutor:
    """Start an executor as a child of this process.

    Args:
        sandbox: the pilot's folder.
        executor: number of the executor on this node.
        journal: folder of the journal.
        lifeline: descriptor that the executor holds open as long as it lives, -1 for none.

    Returns:
        Its pid, which the caller has to reap, and the connection.

    Raises:
        OSError: this Python cannot be started.
    """
    ours, theirs = socket.socketpair()
    options = {"fd": theirs.fileno(), "sandbox": sandbox, "executor": executor, "journal": journal}
    inherited = [theirs.fileno()]
    if lifeline >= 0:
        options["lifeline"] = lifeline
        inherited.append(lifeline)
    try:
        pid = spawn_python("pilot_agent.node.executor", json.dumps(options), inherited)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    return StartedExecutor(pid, ours)


def spawn_python(module: str, options: str, inherited: Sequence[int]) -> int:
    """Start ``main`` of a module of the agent in a process of its own.

    Args:
        module: Its full name.
        options: The only argument.
        inherited: Descriptors that it gets, under the same numbers.

    Returns:
        Its pid.

    Raises:
        OSError: this Python cannot be started.
    """
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT.format(module), import_root(), options]
    # Duplicating a descriptor onto itself is how posix_spawn clears close-on-exec for one child alone.
    actions = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in inherited]
    return os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions, setsigmask=[])
