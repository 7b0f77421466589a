"""The first process of a pilot: starts the agent's head, outlives it, and starts it again.

It is a subreaper (prctl(2)): what a dead head leaves behind becomes its child and is killed before the next head
starts. The next head finds in the journal what had ended, so that nothing that ended runs twice. It imports nothing
but the standard library's smallest parts, since its only work is to be alive.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path

from .exit_codes import FINAL_CODES, RESTARTS_USED_UP
from .spawn.prctl import become_subreaper
from .spawn.process_tree import kill_descendants

logger = logging.getLogger(__name__)

MOST_RESTARTS = 3
RESTART_WINDOW_S = 600.0


class Supervisor:
    """Keeps one head alive.

    Args:
        config: The agent's settings file, handed on to the head.
        lifeline_fd: A descriptor that stays open in the agent's processes; its end tells a local client that all of
            them are dead.
    """

    def __init__(self, config: Path, lifeline_fd: int | None) -> None:
        self._config = config
        self._lifeline_fd = lifeline_fd
        self._head = 0
        self._stopping = False
        self._restarts: list[float] = []

    def run(self) -> int:
        """Run heads until one ends for good; returns the exit code of the agent."""
        become_subreaper()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        while True:
            code = self._run_head()
            kill_descendants(os.getpid())
            if code in FINAL_CODES or self._stopping:
                return code
            logger.error("head.died code=%d", code, extra={"action": "head.died"})
            if not self._may_restart(time.monotonic()):
                logger.error("head.abandoned restarts=%d", MOST_RESTARTS, extra={"action": "head.abandoned"})
                return RESTARTS_USED_UP

    def _pass_on(self, _number: int, _frame: object) -> None:
        self._stopping = True
        if self._head:
            os.kill(self._head, signal.SIGTERM)

    def _run_head(self) -> int:
        arguments = [sys.executable, "-m", "pilot_agent", "--config", str(self._config), "--head"]
        if self._lifeline_fd is not None:
            os.set_inheritable(self._lifeline_fd, True)
        self._head = os.posix_spawn(sys.executable, arguments, os.environ)
        code = self._wait_for_head()
        self._head = 0
        return code

    def _wait_for_head(self) -> int:
        """Reap whatever ends, orphans too, until the head does."""
        while True:
            pid, status = os.wait()
            if pid == self._head:
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)

    def _may_restart(self, now: float) -> bool:
        self._restarts = [moment for moment in self._restarts if now - moment < RESTART_WINDOW_S]
        self._restarts.append(now)
        return len(self._restarts) <= MOST_RESTARTS
