"""A Redis server of one's own: started, found again and stopped.

For an application that is given no coordination URL. The server itself is run by `server_keeper`, a process beside the
application; here it is called for, told what is wanted, and waited for. No thread, no polling.

The invariant: a server ends with the application that started it, however that ends, unless it was asked to stay.
"""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import final

from pilot_protocol.errors import CoordinationError
from pilot_session.coordination_url import CoordinationUrl

from . import server_directory, server_keeper
from .config import ClientConfig
from .server_binary import ServerBinary, find_servers
from .server_directory import ServerDirectory, ServerRecord
from .server_launch import LOOPBACK, Wish, first_that_serves

STOP_LIMIT_S = 2 * server_keeper.STOP_LIMIT_S


@final
class EmbeddedRedis:
    """A running embedded server. Made by `start` and `attach`; a context manager that stops it.

    Attributes:
        directory: Of the server: log, and data when it was named by the user.
        record: What runs there.
    """

    def __init__(
        self,
        place: ServerDirectory,
        record: ServerRecord,
        password: str,
        lifeline: socket.socket | None = None,
    ) -> None:
        self.directory = place.path
        self.record = record
        self._place = place
        self._unix = CoordinationUrl("unix", path=str(place.server_socket), password=password)
        self._tcp = CoordinationUrl("redis", LOOPBACK, record.port, password=password)
        self._lifeline = lifeline
        self._owner = os.getpid()
        if lifeline is not None:
            atexit.register(self._stop_at_exit)

    @classmethod
    def start(
        cls,
        directory: Path | None = None,
        *,
        stay: bool = False,
        binary: ServerBinary | None = None,
        config: ClientConfig | None = None,
        ports: Iterable[int] | None = None,
    ) -> EmbeddedRedis:
        """Start a server and return when it serves.

        It listens on a socket that only its owner can open, and on the loopback interface, both with a random password;
        every confirmed write is on disk. One that dies is started again on its data, at most 3 times in 10 minutes.

        Args:
            directory: Keeps the data of this server, and may hold that of an earlier one. By default a fresh one below
                ``XDG_RUNTIME_DIR`` or ``TMPDIR`` (``~/.local/state/pilot/servers`` with ``stay``), removed in the end.
            stay: The server outlives the application, until somebody calls `stop`.
            binary: The program; by default the first of `find_servers` that runs.
            config: By default the environment.
            ports: TCP ports to try in this order; by default free ones.

        Raises:
            CoordinationError: There is no program, none of them serves, the directory cannot be used, or a server runs
                in it already.
        """
        config = config or ClientConfig.from_environment()
        programs = (binary,) if binary else find_servers(config.redis_server, search_path=config.search_path)
        kept = first_that_serves(Wish(directory, config, stay), programs, tuple(ports or ()))
        if stay:
            kept.let_go()
        return cls(kept.place, kept.record, kept.password, None if stay else kept.lifeline)

    @classmethod
    def attach(cls, directory: Path) -> EmbeddedRedis:
        """Return the server that runs in a directory.

        Raises:
            CoordinationError: None runs there, or its files are open to others.
        """
        place, record = server_directory.find(directory)
        server = cls(place, record, server_directory.read_password(place))
        if not server.running:
            raise CoordinationError(
                f"no embedded server runs in {place.path} any more; start one", transient=False
            )
        return server

    @property
    def url(self) -> str:
        """Coordination URL for this machine, with the password."""
        return self._unix.full()

    @property
    def tcp_url(self) -> str:
        """Coordination URL through the loopback interface, for tunnels, with the password."""
        return self._tcp.full()

    @property
    def public_url(self) -> str:
        """Coordination URL for this machine, without the password."""
        return self._unix.public()

    @property
    def log_file(self) -> Path:
        """The server's log; an older part of it, if any, is beside it in ``server.log.1``."""
        return self._place.log_file

    @property
    def running(self) -> bool:
        """True while the server is kept."""
        visitor = self._visit()
        if visitor is not None:
            visitor.close()
        return visitor is not None

    def stop(self, timeout_s: float = STOP_LIMIT_S) -> None:
        """Stop the server and return when it is gone, with its directory unless that was named. Once is enough.

        Args:
            timeout_s: Seconds to wait.

        Raises:
            CoordinationError: It is still there after that.
        """
        atexit.unregister(self._stop_at_exit)
        visitor = self._visit()
        ended = visitor is None or _asked_to_stop(visitor, timeout_s)
        if self._lifeline is not None:
            self._lifeline.close()
        if not ended:
            raise CoordinationError(
                f"the embedded server in {self.directory} does not end; its keeper is process {self.record.keeper_pid}"
            )

    def abandon(self) -> None:
        """Remove what a server has left whose keeper is gone: its directory, unless that was named, and its password."""
        atexit.unregister(self._stop_at_exit)
        if self._lifeline is not None:
            self._lifeline.close()
        self._place.discard()

    def wait_stopped(self, timeout_s: float | None = None) -> bool:
        """Wait until the server is gone, whoever stopped it; return False when the time is over.

        Args:
            timeout_s: Seconds to wait; without end by default.
        """
        visitor = self._visit()
        if visitor is None:
            return True
        with closing(visitor):
            return _ended(visitor, timeout_s)

    def __enter__(self) -> EmbeddedRedis:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<EmbeddedRedis {self.public_url}>"

    def _stop_at_exit(self) -> None:
        if os.getpid() == self._owner:  # a forked child inherits the call, not the server
            self.stop()

    def _visit(self) -> socket.socket | None:
        """Return a connection to the keeper, which ends with it; None when there is no keeper."""
        visitor = socket.socket(socket.AF_UNIX)
        try:
            visitor.connect(str(self._place.keeper_socket))
        except (FileNotFoundError, ConnectionRefusedError):
            visitor.close()
            return None
        return visitor


def _asked_to_stop(visitor: socket.socket, timeout_s: float) -> bool:
    with closing(visitor):
        with suppress(BrokenPipeError):  # it is ending already
            visitor.sendall(server_keeper.STOP)
        return _ended(visitor, timeout_s)


def _ended(visitor: socket.socket, timeout_s: float | None) -> bool:
    """Wait for the keeper's end of a connection to close; it says nothing."""
    visitor.settimeout(timeout_s)
    try:
        return visitor.recv(1) == b""
    except ConnectionResetError:
        return True
    except (TimeoutError, BlockingIOError):  # the latter without any time to wait
        return False
