"""The directory of an embedded server: where it lies, what is in it, and who may use it.

It holds the configuration with the password, the log, the data, the record of what runs there, and a lock that the server
and its keeper hold while they live. Starts nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pilot_protocol.errors import CoordinationError
from pilot_session.private_files import make_private_directory, read_private, write_private

from .config import ClientConfig
from .server_keeper import CONFIG_FILE, KEEPER_SOCKET, LOG_FILE, RECORD_FILE, SERVER_SOCKET

LOCK_FILE = "lock"

SOCKET_PATH_BYTES = 103
"""The longest path that every system takes for a socket (Linux takes 107)."""

ROOM_IN_MEMORY_BYTES = 1 << 30
"""``XDG_RUNTIME_DIR`` lies in memory; with less room than this a full disk would stop the server one day."""


@dataclass(frozen=True)
class ServerDirectory:
    """A place for one server.

    Attributes:
        path: The directory, mode 0700.
        sockets: Where its sockets are: the same, or a short directory when the path is too long for a socket.
        temporary: True when it was made for this server and goes with it.
    """

    path: Path
    sockets: Path
    temporary: bool

    @property
    def config_file(self) -> Path:
        """The server's configuration, with the password."""
        return self.path / CONFIG_FILE

    @property
    def record_file(self) -> Path:
        """What runs here, see `ServerRecord`."""
        return self.path / RECORD_FILE

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.path / LOG_FILE

    @property
    def server_socket(self) -> Path:
        """The server's socket."""
        return self.sockets / SERVER_SOCKET

    @property
    def keeper_socket(self) -> Path:
        """The socket over which its keeper takes the wish to stop."""
        return self.sockets / KEEPER_SOCKET

    def discard(self) -> None:
        """Remove the directories that were made for a server that does not run; others are left as they are."""
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        if self.sockets != self.path:
            shutil.rmtree(self.sockets, ignore_errors=True)


@dataclass(frozen=True)
class ServerRecord:
    """What runs in a directory.

    Attributes:
        keeper_pid: The keeper's process.
        keeper_started: When it started, clock ticks since boot (Linux; else 0). With the pid it names one process.
        server_pid: The first server's process; the keeper starts another one when it dies.
        server_started: When that started.
        port: TCP port on the loopback interface.
        sockets: Directory of the sockets.
        program: Path of the server's program.
        version: Its version.
        stay: True when it outlives the application that started it.
    """

    keeper_pid: int
    keeper_started: int
    server_pid: int
    server_started: int
    port: int
    sockets: str
    program: str
    version: str
    stay: bool


def prepare(wanted: Path | None, config: ClientConfig, *, stay: bool) -> ServerDirectory:
    """Make the directory of a server.

    Args:
        wanted: Use this one and keep it; None for a fresh one that goes with the server.
        config: Says where fresh ones may lie.
        stay: The server is to outlive the login session, so nothing of it may lie in ``XDG_RUNTIME_DIR``.

    Raises:
        CoordinationError: It cannot be made, or others can enter it.
    """
    if wanted is not None:
        path = wanted.absolute()
        make_private_directory(path)
    elif stay:
        make_private_directory(config.servers_dir)
        path = _fresh(config.servers_dir)
    else:
        in_memory = config.runtime_dir if _has_room(config.runtime_dir) else None
        path = _fresh(in_memory or config.temporary_dir)
    sockets = path
    if len(os.fsencode(path / KEEPER_SOCKET)) > SOCKET_PATH_BYTES:
        sockets = _fresh(_short(config, stay=stay))
    return ServerDirectory(path, sockets, temporary=wanted is None)


@contextmanager
def locked(place: ServerDirectory) -> Iterator[int]:
    """Hold the lock of a directory and give its descriptor: a process that inherits it goes on to hold it.

    Raises:
        CoordinationError: A server runs there, or the file system knows no locks.
    """
    try:
        descriptor = os.open(place.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CoordinationError(
            f"{place.path} cannot be written: {error.strerror}", transient=False
        ) from error
    try:
        _lock(descriptor, place.path)
        yield descriptor
    finally:
        os.close(descriptor)


def write_config(place: ServerDirectory, port: int, password: str) -> None:
    """Write the server's configuration: reached by its owner alone, and what was confirmed is on disk.

    Raises:
        CoordinationError: It cannot be written.
    """
    lines = (
        f"port {port}",
        "bind 127.0.0.1",
        "protected-mode yes",
        f"unixsocket {_quoted(place.server_socket)}",
        "unixsocketperm 700",
        f"requirepass {password}",
        f"dir {_quoted(place.path)}",
        "appendonly yes",
        "appendfsync always",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
        "loglevel notice",
        'logfile ""',
    )
    write_private(place.config_file, os.fsencode("\n".join(lines) + "\n"))


def read_password(place: ServerDirectory) -> str:
    """Return the password from the configuration of a running server.

    Raises:
        CoordinationError: There is none, or others can read it.
    """
    try:
        lines = read_private(place.config_file).splitlines()
    except FileNotFoundError:
        raise _nothing_runs(place.path) from None
    words = [line.split() for line in lines if line.startswith(b"requirepass ")]
    if len(words) != 1 or len(words[0]) != 2:
        raise CoordinationError(f"{place.config_file} has no password; it was changed", transient=False)
    return words[0][1].decode()


def write_record(place: ServerDirectory, record: ServerRecord) -> None:
    """Write what runs here.

    Raises:
        CoordinationError: It cannot be written.
    """
    write_private(place.record_file, json.dumps(asdict(record), indent=1).encode() + b"\n")


def find(path: Path) -> tuple[ServerDirectory, ServerRecord]:
    """Return the place and the record of the server in a directory.

    Raises:
        CoordinationError: None runs there, or its record is damaged.
    """
    path = path.absolute()
    try:
        record = ServerRecord(**json.loads(read_private(path / RECORD_FILE)))
    except FileNotFoundError:
        raise _nothing_runs(path) from None
    except (ValueError, TypeError) as error:
        raise CoordinationError(f"{path / RECORD_FILE} is damaged: {error}", transient=False) from error
    return ServerDirectory(path, Path(record.sockets), temporary=False), record


def started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (proc(5), field 22 of stat); 0 where unknown."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
    except OSError:
        return 0
    return int(after_name.split()[19])


def _nothing_runs(path: Path) -> CoordinationError:
    return CoordinationError(f"no embedded server runs in {path}; it has ended", transient=False)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CoordinationError(
            f"a server runs in {path} already; use EmbeddedRedis.attach, stop it, or choose another directory"
        ) from None
    except OSError as error:
        raise CoordinationError(
            f"{path} cannot be locked: {error.strerror}; choose a directory on a local disk", transient=False
        ) from error


def _fresh(base: Path) -> Path:
    path = base / f"pilot-{os.urandom(6).hex()}"
    try:
        path.mkdir(mode=0o700)  # fails when somebody else was there first
    except OSError as error:
        raise CoordinationError(
            f"no directory for an embedded server can be made in {base}: {error.strerror}; "
            "set TMPDIR to a directory that can be written",
            transient=False,
        ) from error
    return path


def _has_room(directory: Path | None) -> bool:
    if directory is None or not os.access(directory, os.W_OK | os.X_OK):
        return False
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize >= ROOM_IN_MEMORY_BYTES


def _short(config: ClientConfig, *, stay: bool) -> Path:
    """Return a directory below which a socket's path is short enough."""
    deepest = len(os.fsencode(Path("pilot-0123456789ab", KEEPER_SOCKET))) + 1
    candidates = (
        (config.temporary_dir,)
        if stay or not config.runtime_dir
        else (config.runtime_dir, config.temporary_dir)
    )
    for directory in candidates:
        if (
            os.access(directory, os.W_OK | os.X_OK)
            and len(os.fsencode(directory)) + deepest <= SOCKET_PATH_BYTES
        ):
            return directory
    return ClientConfig.temporary_dir


def _quoted(path: Path) -> str:
    """Return a path as one word of redis.conf."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{text}"'
