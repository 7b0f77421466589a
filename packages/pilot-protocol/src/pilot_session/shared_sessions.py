"""The sessions that the services of this process share, whichever package made them.

What sessions are used for is the business of those who hold them. The invariant that is kept here: one session per server
for all services that are given no other, and one way to find the file of a session.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from pilot_protocol.errors import CoordinationError
from pilot_protocol.user_warnings import warn_user

from .config import SessionConfig
from .session_file import SessionFile, SessionFiles


class SharedSessions:
    """Sessions of one process, by their ids.

    Attributes:
        lock: Held while a session is looked for and made; may be taken again by who has it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._files: dict[str, SessionFile] = {}
        self._defaults: dict[str, str] = {}
        """By the server's URL without credentials; empty for an embedded server. The newest comes last."""
        self._at_end: dict[str, list[Callable[[], None]]] = {}

    def default(self, place: str, make: Callable[[], str]) -> str:
        """Return the session that services share which name a server.

        Args:
            place: The server's URL without credentials; empty for an embedded one.
            make: Makes a session there and returns its id; called when it is the first use.
        """
        with self.lock:
            if place not in self._defaults:
                self._defaults[place] = make()
            return self._defaults[place]

    def newest_default(self) -> str | None:
        """Return the session that services share and that was made last; None before the first."""
        with self.lock:
            return next(reversed(self._defaults.values()), None)

    def keep(self, file: SessionFile) -> None:
        """Keep the file of a session that was made here, on disk as well, for other processes.

        When it cannot be written there is a RuntimeWarning: only this process can use the session.
        """
        self._files[file.session] = file
        files = _files()
        try:
            files.save(file)
            files.prune(time.time())
        except (CoordinationError, OSError) as error:
            warn_user(f"nobody can reconnect to session {file.session}: {error}", RuntimeWarning)

    def file(self, session: str) -> SessionFile:
        """Return the file of a session, also of one that another process made.

        Raises:
            CoordinationError: It is not known on this machine.
            DescriptionError: It is no session id.
        """
        return self._files.get(session) or _files().load(session)

    def before_end(self, session: str, leave: Callable[[], None]) -> None:
        """Have something done before a session ends together with its server."""
        with self.lock:
            self._at_end.setdefault(session, []).append(leave)

    def prepare_end(self, session: str) -> None:
        """Let all leave a session that is about to end together with its server."""
        with self.lock:
            leaving = self._at_end.pop(session, [])
        for leave in leaving:
            leave()

    def forget(self, session: str) -> None:
        """Let services share the session no more."""
        with self.lock:
            self._defaults = {place: known for place, known in self._defaults.items() if known != session}

    def delete(self, session: str) -> None:
        """Forget a session that has ended together with its server, and delete its file."""
        self.forget(session)
        self._files.pop(session, None)
        _files().delete(session)

    def renew_lock(self) -> None:
        """Take another lock, in a forked child: a thread of the parent may have held the old one."""
        self.lock = threading.RLock()


def _files() -> SessionFiles:
    return SessionFiles(SessionConfig.from_environment().sessions_dir)


shared = SharedSessions()
"""Those of this process."""

os.register_at_fork(after_in_child=shared.renew_lock)
