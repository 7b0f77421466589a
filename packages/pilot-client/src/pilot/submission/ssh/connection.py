"""A connection to one machine: logged in when first needed, logged in again when it is found dead.

The invariant: a command is repeated only if it has surely not run.
"""

from __future__ import annotations

import logging
import threading

from pilot.submission.place import COMMAND_LIMIT_S, Output
from pilot_protocol.errors import SubmissionError

from .master import Master, direct_client, start_master, users_master
from .refusals import refusal
from .session import NotStartedError, OverdueError, Session
from .target import SshOptions, SshTarget

logger = logging.getLogger(__name__)

SESSIONS = 8
"""So many commands run at once over one connection; servers allow 10 by default (``MaxSessions``)."""

KILL_LIMIT_S = 20.0


class SshConnection:
    """A connection, for any number of threads.

    Args:
        target: Where it leads.
        options: How ``ssh`` is called.
    """

    def __init__(self, target: SshTarget, options: SshOptions) -> None:
        self.name = target.name
        self._target = target
        self._options = options
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self._lock = threading.Lock()
        self._master: Master | None = None
        self._closed = False

    def run(self, command: str, *, given: bytes = b"", limit_s: float = COMMAND_LIMIT_S) -> Output:
        """Run a command line with ``/bin/sh`` there and wait for its end, see `Place.run`.

        A signal that ends the command shows as 128 and its number, as shells count.
        """
        session = Session(self.name, command, given, limit_s)
        try:
            with self._sessions:
                return self._run(session)
        except OverdueError as overdue:
            self._kill(overdue.group)
            raise session.overdue() from overdue

    def master(self) -> Master:
        """Return the live master connection; log in if there is none.

        Raises:
            SubmissionError: The machine is not reached, or does not let us in.
        """
        with self._lock:
            if self._closed:
                raise SubmissionError(f"the connection to {self.name} is closed")
            if self._master is None or not self._master.seems_alive:
                self._end_master()
                found = users_master(self._options, self._target)
                self._master = found or start_master(self._options, self._target)
            return self._master

    def shared(self) -> list[str]:
        """Return options by which another client of OpenSSH uses this login, without ever asking for anything.

        Raises:
            SubmissionError: The machine is not reached, or does not let us in.
        """
        settings = ("BatchMode=yes", "ControlMaster=no", f"ControlPath={self.master().path}")
        return [*self._options.base[1:], *(word for setting in settings for word in ("-o", setting))]

    def close(self) -> None:
        """Log out. Nothing is left: no process, no socket, no folder."""
        with self._lock:
            self._closed = True
            self._end_master()

    def _run(self, session: Session) -> Output:
        master = self.master()
        try:
            return session.run(master.client)
        except NotStartedError:
            client = self._second_way(master)
        try:
            return session.run(client)
        except NotStartedError as failure:
            raise refusal(self.name, failure.words) from failure

    def _second_way(self, master: Master) -> list[str]:
        """Return ``ssh`` for a command that did not get through: past a master that has no room, else over a new one."""
        if master.answers():
            return direct_client(self._options, self._target)
        with self._lock:
            if self._master is master:
                self._end_master()
        return self.master().client

    def _kill(self, group: int) -> None:
        """Kill what is over its limit. Its group is its own: the server starts each command in a session."""
        session = Session(self.name, f"kill -KILL -{group}", b"", KILL_LIMIT_S)
        try:
            killed = self._run(session).code == 0
        except (SubmissionError, OverdueError):
            killed = False
        if not killed:  # or it has just ended
            logger.warning("ssh.lingers place=%s group=%d", self.name, group, extra={"action": "ssh.lingers"})

    def _end_master(self) -> None:
        master, self._master = self._master, None
        if master is not None:
            master.end()
