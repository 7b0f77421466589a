"""The first process of a pilot on a node that is not the head's: keeps one executor alive there, and leaves nothing.

    python -m pilot_agent node --settings /…/agent.json --head 10.0.0.1:4711,head1:4711 [--name n7]

It is a subreaper (prctl(2)): what a dead executor leaves behind becomes its child and is gone before the next executor calls the
head. The executor ends, with all it runs, when its warden is gone: it holds the other end of a pipe.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence

from pilot_agent.node.exits import ENDED_TOO_OFTEN, FINAL_CODES
from pilot_agent.node.launcher import spawn_python
from pilot_agent.node.surroundings import say
from pilot_agent.settings_file import read_private
from pilot_agent.spawn.end_signals import ignore_end_signals
from pilot_agent.spawn.foreign_ranks import kill_foreign_ranks
from pilot_agent.spawn.leftovers import are_gone_within
from pilot_agent.spawn.prctl import become_subreaper
from pilot_agent.spawn.process_tree import kill_descendants

MOST_RESTARTS = 5
"""As of a head: a unit that takes its executor along has failed for good by then."""
RESTART_WINDOW_S = 600.0
_LEFTOVERS_S = 2.0


class Warden:
    """Keeps one executor alive.

    Args:
        posting: What each executor is told, but for the guard.
        sandbox: The pilot's folder; empty where it cannot be told, and no executor can serve.
    """

    def __init__(self, posting: dict[str, object], sandbox: str) -> None:
        self._posting = posting
        self._sandbox = sandbox
        self._restarts: list[float] = []

    def run(self) -> int:
        """Run executors until one ends for good; returns the exit code."""
        become_subreaper()
        ignore_end_signals()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        while True:
            code = self._run_executor()
            self._end_leftovers()
            if code in FINAL_CODES:
                return code
            say(f"warden: the executor ended with code {code}")
            if not self._may_restart(time.monotonic()):
                return ENDED_TOO_OFTEN

    def _run_executor(self) -> int:
        guard, kept = os.pipe()
        try:
            options = json.dumps({**self._posting, "guard": guard})
            executor = spawn_python("pilot_agent.node.far_executor", options, [guard])
            os.close(guard)
            return _wait_for(executor)
        finally:
            os.close(kept)

    def _end_leftovers(self) -> None:
        """Kill what the executor has started, and what launchers on other nodes have started here for its pilot."""
        kill_descendants(os.getpid())
        if self._sandbox:
            kill_foreign_ranks(self._sandbox)
        are_gone_within(_LEFTOVERS_S)

    def _may_restart(self, now_s: float) -> bool:
        self._restarts = [moment for moment in self._restarts if now_s - moment < RESTART_WINDOW_S]
        self._restarts.append(now_s)
        return len(self._restarts) <= MOST_RESTARTS


def _wait_for(executor: int) -> int:
    """Reap whatever ends, orphans too, until the executor does."""
    while True:
        pid, status = os.wait()
        if pid == executor:
            return os.waitstatus_to_exitcode(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the warden; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="pilot-agent node", description="Runs compute units of a pilot on one of its further nodes."
    )
    parser.add_argument(
        "--settings", required=True, help="the agent's settings file, on a shared file system"
    )
    parser.add_argument("--head", required=True, help="addresses of the agent's head: HOST:PORT,HOST:PORT")
    parser.add_argument("--name", default="", help="what the batch system calls this node")
    options = parser.parse_args((sys.argv[1:] if arguments is None else list(arguments))[1:])
    heads = options.head.split(",")
    posting = {"settings": options.settings, "heads": heads, "name": options.name}
    return Warden(posting, _sandbox_of(options.settings)).run()


def _sandbox_of(settings: str) -> str:
    try:
        return str(read_private(settings)["sandbox"])
    except (OSError, ValueError):  # its executor says so
        return ""
