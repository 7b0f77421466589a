"""The first process of a pilot: starts the agent's head, outlives it, and starts it again.

It is a subreaper (prctl(2)): what a dead head leaves behind becomes its child and is gone before the next head starts.
The next head finds in the journal what had ended, so that nothing that ended runs twice. It imports nothing but the
standard library's smallest parts, since its only work is to be alive.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress

from .exit_codes import FINAL_CODES, RESTARTS_USED_UP
from .spawn.end_signals import END_SIGNALS, hold_back_end_signals
from .spawn.leftovers import are_gone_within
from .spawn.prctl import become_subreaper
from .spawn.process_tree import kill_descendants

logger = logging.getLogger(__name__)

MOST_RESTARTS = 5
"""More than a unit is started again by default: one that takes its agent along fails before the agent is given up."""
RESTART_WINDOW_S = 600.0
LEFTOVERS_S = 2.0
"""How long executors may take to end their units and to write down how, once their head is gone: more than they do."""


class Supervisor:
    """Keeps one head alive.

    Args:
        command: The head's command line.
        lifeline_fd: A descriptor that stays open in the agent's processes; its end tells a local client that all of
            them are dead.
    """

    def __init__(self, command: list[str], lifeline_fd: int | None = None) -> None:
        self._command = command
        self._lifeline_fd = lifeline_fd
        self._head = 0
        self._stopping = False
        self._restarts: list[float] = []

    def run(self) -> int:
        """Run heads until one ends for good; returns the exit code of the agent, 128 + n after signal n."""
        become_subreaper()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        for number in END_SIGNALS:
            signal.signal(number, self._pass_on)
        try:
            return self._run_heads()
        finally:
            hold_back_end_signals()  # one that comes late changes nothing about how it has ended

    def _run_heads(self) -> int:
        while True:
            code = self._run_head()
            self._end_leftovers()
            if code in FINAL_CODES or self._stopping:
                return code if code >= 0 else 128 - code
            logger.error("head.died code=%d", code, extra={"action": "head.died"})
            if not self._may_restart(time.monotonic()):
                logger.error("head.abandoned restarts=%d", MOST_RESTARTS, extra={"action": "head.abandoned"})
                return RESTARTS_USED_UP

    def _pass_on(self, _number: int, _frame: object) -> None:
        self._stopping = True
        if self._head:
            with suppress(ProcessLookupError):
                os.kill(self._head, signal.SIGTERM)

    def _run_head(self) -> int:
        if self._lifeline_fd is not None:
            os.set_inheritable(self._lifeline_fd, True)
        self._head = os.posix_spawn(self._command[0], self._command, os.environ, setsigmask=[])
        if self._stopping:
            os.kill(self._head, signal.SIGTERM)
        return self._wait_for_head()

    def _wait_for_head(self) -> int:
        """Reap whatever ends, orphans too, until the head does."""
        while True:
            pid, status = os.wait()
            if pid == self._head:
                self._head = 0
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)

    def _end_leftovers(self) -> None:
        """Give executors the time to write their journals, then make sure that nothing is left."""
        if not are_gone_within(LEFTOVERS_S):
            kill_descendants(os.getpid())
            are_gone_within(LEFTOVERS_S)

    def _may_restart(self, now: float) -> bool:
        self._restarts = [moment for moment in self._restarts if now - moment < RESTART_WINDOW_S]
        self._restarts.append(now)
        return len(self._restarts) <= MOST_RESTARTS
