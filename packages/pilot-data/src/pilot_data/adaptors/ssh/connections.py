"""The connections of this process, which storages at the same host share."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from dataclasses import dataclass, field

from .connection import Connection, Login

_SHARED_BY = 3
"""Storages for each connection: each has up to three channels, and servers allow 10 (``MaxSessions``)."""


@dataclass
class _Shared:
    """The connections of one login, and how many storages use each."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: dict[Connection, int] = field(default_factory=dict)


class Connections:
    """Opens connections when they are needed, and closes them with their last user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A child that was forked has the connections, but none of the threads that serve them.
        self._shared: defaultdict[tuple[int, Login], _Shared] = defaultdict(_Shared)

    def lease(self, login: Login) -> Connection:
        """Return a connection; see `give_back`.

        Raises:
            TransferError: There is none; see `Login.connected`.
        """
        shared = self._of(login)
        with shared.lock:
            for connection, users in shared.users.items():
                if users < _SHARED_BY and connection.is_alive:
                    shared.users[connection] += 1
                    return connection
            connection = login.connected()
            shared.users[connection] = 1
            return connection

    def give_back(self, connection: Connection) -> None:
        """Use a connection no longer."""
        shared = self._of(connection.login)
        with shared.lock:
            shared.users[connection] -= 1
            if shared.users[connection]:
                return
            del shared.users[connection]
        connection.close()

    def _of(self, login: Login) -> _Shared:
        with self._lock:
            return self._shared[os.getpid(), login]


CONNECTIONS = Connections()
