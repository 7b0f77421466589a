"""The keeper of an embedded server: a small process between an application and the Redis server it started.

Run by its file path (``python -I -S server_keeper.py SERVER DIRECTORY SOCKETS remove|keep LOCK``), so it imports the
standard library only, and little of it, because an application waits for it. It is the server's parent and the only one
that starts, restarts, stops and tidies up.

- Its standard streams are one socket, the lifeline from the application. It takes one report: ``ready KEEPER SERVER
  VERSION``, or ``failed`` and the server's last log lines. At its end, which comes even when the application is killed,
  the server is stopped, unless the byte ``k`` has come before: then it stays.
- The socket ``keeper.sock`` takes the byte ``s``, which stops the server. Its connections end with the keeper, so waiting
  for the end of one is waiting for everything to be gone.
- The directory's lock, an inherited descriptor, is held by keeper and server until both are gone.
- The server's log is drained into ``server.log``, bounded in size. A server that dies starts again on its append-only file.

The invariant: the server does not outlive its keeper, and what was made for it does not outlive the server.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence

CONFIG_FILE = "redis.conf"
LOG_FILE = "server.log"
RECORD_FILE = "server.json"
SERVER_SOCKET = "redis.sock"
KEEPER_SOCKET = "keeper.sock"

STAY = b"k"
STOP = b"s"
READY = b"Ready to accept connections"
"""What every Redis since 2.4 and every Valkey logs when it serves."""

STOP_LIMIT_S = 5.0
LOG_LIMIT_BYTES = 1 << 20
START_LOG_BYTES = 1 << 16
LINES_REPORTED = 12
RESTARTS, RESTARTS_WITHIN_S = 3, 600.0
"""A server that dies more often than this is given up."""

PR_SET_PDEATHSIG = 1


class BoundedLog:
    """A log file that is moved to ``.1`` when it is full, so that two of them are all there ever is."""

    def __init__(self, path: str, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
        self._path = path
        self._limit = limit_bytes
        self.fd = self._open()

    def write(self, data: bytes) -> None:
        """Append to the log; on a full disk the text is lost, since the server must not stop for its log."""
        try:
            if os.fstat(self.fd).st_size + len(data) > self._limit:
                os.replace(self._path, self._path + ".1")
                fresh = self._open()
                os.dup2(fresh, self.fd, inheritable=False)
                os.close(fresh)
            os.write(self.fd, data)
        except OSError:
            return

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class Keeper:
    """Watches over one server.

    Args:
        server: Its program.
        directory: Holds its configuration, log and data.
        sockets: Holds its sockets; another directory only where the first one's path is too long for a socket.
        remove: Delete the directory in the end.
    """

    def __init__(self, server: str, directory: str, sockets: str, *, remove: bool) -> None:
        self._server = server
        self._directory = directory
        self._sockets = sockets
        self._remove = remove
        self._log = BoundedLog(os.path.join(directory, LOG_FILE))
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._pid = 0
        self._log_pipe = -1
        self._start_log = b""
        self._serving = False
        self._stopping = False
        self._deaths: list[float] = []

    def run(self) -> None:
        """Keep the server until it is not wanted any more, or cannot be kept, and tidy up."""
        self._listen_to_signals()
        self._start_server()
        self._listen_to(0, self._read_lifeline)
        self._open_door()
        while self._pid and not self._stopping:
            self._turn()
        if not (self._serving or self._stopping):
            self._report(b"failed\n" + b"\n".join(self._start_log.splitlines()[-LINES_REPORTED:]))
        self._stop_server()
        self._tidy_up()

    def _turn(self, limit_s: float | None = None) -> None:
        ready = self._poll.poll(None if limit_s is None else max(0, limit_s * 1000))
        # One at a time, since it may close the descriptor that another event is about.
        for fd, _ in ready[:1]:
            self._readers[fd]()

    def _listen_to(self, fd: int, reader: Callable[[], None]) -> None:
        self._readers[fd] = reader
        self._poll.register(fd, select.POLLIN)

    def _leave(self, fd: int) -> None:
        self._poll.unregister(fd)
        del self._readers[fd]

    def _start_server(self) -> None:
        self._log_pipe, log_of_server = os.pipe()
        os.set_blocking(self._log_pipe, False)
        keeper = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _become_server((self._server, os.path.join(self._directory, CONFIG_FILE)), log_of_server, keeper)
        try:  # noqa: SIM105 - contextlib would cost its import
            os.setpgid(self._pid, self._pid)
        except PermissionError:  # the child was quicker and is the server already
            pass
        os.close(log_of_server)
        self._listen_to(self._log_pipe, self._read_log)

    def _read_log(self) -> None:
        try:
            while text := os.read(self._log_pipe, 1 << 16):
                self._log.write(text)
                if not self._serving:
                    self._await_readiness(text)
        except BlockingIOError:
            return
        self._leave_log()  # the server has ended

    def _await_readiness(self, text: bytes) -> None:
        self._start_log = (self._start_log + text)[-START_LOG_BYTES:]
        if READY in self._start_log:
            self._serving = True
            version = self._start_log.partition(b"version=")[2].partition(b",")[0]  # named at the beginning
            self._report(b"ready %d %d %s\n" % (os.getpid(), self._pid, version))

    def _bury_server(self) -> None:
        pid, status = os.waitpid(self._pid, os.WNOHANG) if self._pid else (0, 0)
        if not pid:
            return
        self._pid = 0
        if self._log_pipe >= 0:
            self._read_log()  # its last words
        if self._log_pipe >= 0:  # a child of its own that rewrites a file may hold it open for longer
            self._leave_log()
        self._log.write(b"keeper: server %d has ended, wait status %d\n" % (pid, status))
        now = time.monotonic()
        self._deaths = [*(death for death in self._deaths if now - death < RESTARTS_WITHIN_S), now]
        if self._serving and not self._stopping and len(self._deaths) <= RESTARTS:
            self._start_server()

    def _leave_log(self) -> None:
        self._leave(self._log_pipe)
        os.close(self._log_pipe)
        self._log_pipe = -1

    def _stop_server(self) -> None:
        """Let the server end in peace for the sake of its data, at once when they go with it."""
        self._stopping = True
        if not self._remove:
            self._kill(signal.SIGTERM)
            deadline = time.monotonic() + STOP_LIMIT_S
            while self._pid and time.monotonic() < deadline:
                self._turn(deadline - time.monotonic())
        self._kill(signal.SIGKILL)
        if self._pid:
            os.waitpid(self._pid, 0)

    def _kill(self, number: signal.Signals) -> None:
        """Signal the server and its children; while it is not waited for, the number is still its own."""
        if self._pid:
            os.killpg(self._pid, number)

    def _report(self, text: bytes) -> None:
        try:
            os.write(1, text)
        except BrokenPipeError:
            self._stopping = True  # nobody is there any more
        for stream in (1, 2):
            os.dup2(self._log.fd, stream)

    def _read_lifeline(self) -> None:
        try:
            word = os.read(0, 1)
        except ConnectionResetError:  # the application died before it read the report
            word = b""
        self._stopping = self._stopping or word != STAY
        self._leave(0)

    def _open_door(self) -> None:
        import socket  # loaded while the server starts

        path = os.path.join(self._sockets, KEEPER_SOCKET)
        if os.path.lexists(path):
            os.unlink(path)
        door = socket.socket(socket.AF_UNIX)
        door.bind(path)
        door.listen()

        def read_visitor(visitor: socket.socket) -> None:
            word = visitor.recv(1)
            self._stopping = self._stopping or word == STOP
            if word != STOP:
                self._leave(visitor.fileno())
                visitor.close()

        def admit() -> None:
            visitor, _ = door.accept()
            self._listen_to(visitor.fileno(), lambda: read_visitor(visitor))

        self._listen_to(door.fileno(), admit)

    def _listen_to_signals(self) -> None:
        bell, ring = os.pipe()
        os.set_blocking(ring, False)
        signal.set_wakeup_fd(ring)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

        def read_signals() -> None:
            self._stopping = signal.SIGTERM in os.read(bell, 64) or self._stopping
            self._bury_server()

        self._listen_to(bell, read_signals)

    def _tidy_up(self) -> None:
        import shutil  # loaded when nobody waits

        # The door last: who finds none believes that all is gone. Nobody is left to hear of what cannot be removed.
        apart = self._sockets != self._directory
        for folder in filter(os.path.isdir, [self._directory] * self._remove + [self._sockets] * apart):
            for entry in os.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                elif entry.name != KEEPER_SOCKET:
                    os.unlink(entry.path)
            shutil.rmtree(folder, ignore_errors=True)
        names = (CONFIG_FILE, RECORD_FILE, SERVER_SOCKET, KEEPER_SOCKET)
        for path in filter(os.path.lexists, [os.path.join(self._directory, name) for name in names]):
            os.unlink(path)


def _become_server(command: tuple[str, str], log: int, keeper: int) -> None:
    """Turn this fresh child into the server; never returns."""
    try:
        os.setpgid(0, 0)
        _die_with(keeper)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd, place in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(fd, place)
        os.execv(command[0], command)
    except OSError as error:
        os.write(log, f"{command[0]} cannot be started: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _die_with(keeper: int) -> None:
    """Ask for SIGTERM at the keeper's death (Linux; elsewhere a killed keeper leaves its server)."""
    if sys.platform != "linux":
        return
    try:
        import ctypes
    except ImportError:  # a Python that was built without libffi
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != keeper:  # it died before the request
        os._exit(127)


def main(arguments: Sequence[str]) -> None:
    """Leave the application's process tree and keep the server."""
    if os.fork():
        os._exit(0)  # the application waits for this one; it never has the keeper for a zombie
    os.umask(0o077)
    server, directory, sockets, end, lock = arguments
    Keeper(server, directory, sockets, remove=end == "remove").run()
    os.close(int(lock))  # before the connections that others watch


if __name__ == "__main__":
    main(sys.argv[1:])
