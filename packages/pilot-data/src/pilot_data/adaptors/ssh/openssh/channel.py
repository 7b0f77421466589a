"""A channel of OpenSSH's: a process ``ssh`` that runs a program at a host over a master connection.

Its standard input and output are a pair of sockets, one end of which the master gets: bytes do not pass through the process.
"""

from __future__ import annotations

import select
import socket
import subprocess
import tempfile
from collections import deque

from pilot_data.adaptors.ssh.connection import Channel
from pilot_data.adaptors.ssh.sftp_wire import Buffer
from pilot_session.ssh_keeper import ssh_environment

from .program import unstartable
from .refusals import refusal_of_channel

_ENOUGH = 128 << 10
_AT_ONCE = 512
"""Parts that are sent by one call; the system takes 1024."""

_BUFFER = _PIECE = 256 << 10
_END_S = 5.0
_LOG = 4096
_NOT_WAITING = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_FAILED = 255


class OpenSshChannel(Channel):
    """A program at a host.

    Args:
        command: ``ssh`` with all that it is told.
        name: How the host is called in errors.

    Raises:
        LoginError: The process cannot be started.
    """

    def __init__(self, command: list[str], name: str) -> None:
        self._name = name
        self._queued: list[Buffer] = []
        self._queued_bytes = 0
        self._come: deque[bytes] = deque()
        self._start_is_known = False
        self._wait_ms: float | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the channel
        self._socket, theirs = socket.socketpair()
        for end in (self._socket, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        with theirs:
            self._process = self._started(command, theirs.fileno())
        self._readable, self._either = select.poll(), select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._either.register(self._socket, select.POLLIN | select.POLLOUT)

    def put(self, *parts: Buffer) -> None:
        """See `Channel.put`."""
        self._queued.extend(parts)
        self._queued_bytes += sum(map(len, parts))
        if self._queued_bytes >= _ENOUGH:
            self.flush()

    def flush(self) -> None:
        """See `Channel.flush`."""
        parts, self._queued, self._queued_bytes = self._queued, [], 0
        at = 0
        while at < len(parts):
            try:
                sent = self._socket.sendmsg(parts[at : at + _AT_ONCE], (), _NOT_WAITING)
            except BlockingIOError:
                self._await_room()
                continue
            except ConnectionError:
                self._check_start()
                raise
            at = _behind(parts, at, sent)

    def receive(self, count: int) -> bytes:
        """See `Channel.receive`."""
        if self._come:
            data = self._come.popleft()
            if len(data) > count:
                self._come.appendleft(data[count:])
            return data[:count]
        if self._wait_ms is not None and not self._readable.poll(self._wait_ms):
            raise TimeoutError
        try:
            data = self._socket.recv(count)
        except ConnectionResetError:  # it has ended, and had not read all
            data = b""
        if not data:
            self._check_start()
        self._start_is_known = True
        return data

    @property
    def is_ready(self) -> bool:
        """See `Channel.is_ready`."""
        return bool(self._come or self._readable.poll(0))

    def wait_at_most(self, seconds: float | None) -> None:
        """See `Channel.wait_at_most`."""
        self._wait_ms = None if seconds is None else seconds * 1000

    def end_input(self) -> None:
        """See `Channel.end_input`."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `Channel.close`."""
        self._socket.close()
        with self._log, self._process as process:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def _started(self, command: list[str], theirs: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                command,
                stdin=theirs,
                stdout=theirs,
                stderr=self._log,
                start_new_session=True,
                env=ssh_environment(),
            )
        except OSError as error:
            self._socket.close()
            self._log.close()
            raise unstartable(command[0], error) from None

    def _await_room(self) -> None:
        """Wait until more can be sent, and take what comes meanwhile: the other side may wait for that."""
        ((_, events),) = self._either.poll()
        if events & select.POLLIN and (data := self._socket.recv(_PIECE)):
            self._come.append(data)
            self._start_is_known = True

    def _check_start(self) -> None:
        """Go on if the program has been started; a refusal is told once.

        Raises:
            TransferError: ``ssh`` says why it was not.
        """
        if self._start_is_known or self._process.wait() != _FAILED:
            return
        self._start_is_known = True
        self._log.seek(0)
        refused = refusal_of_channel(self._name, self._log.read(_LOG).decode("utf-8", "replace"))
        if refused is not None:
            raise refused


def _behind(parts: list[Buffer], at: int, sent: int) -> int:
    """Return which part comes after so many bytes; one that was sent in part is cut to its rest."""
    while at < len(parts) and len(parts[at]) <= sent:
        sent -= len(parts[at])
        at += 1
    if sent:
        parts[at] = memoryview(parts[at])[sent:]
    return at
