"""SFTP packets over one SSH channel: requests leave in full SSH messages, answers are taken as they come."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import paramiko

from pilot_data.errors import ConnectionLostError, TransferError

from .problems import told_as_lost
from .replies import Reply
from .sftp_wire import VERSION, Kind, head, u32

WINDOW = 16 << 20
"""Bytes that a server may send ahead: enough for 400 MB/s at 40 ms."""

_LARGEST_MESSAGE = 32 << 10
_ENOUGH = 4 * _LARGEST_MESSAGE
_LARGEST_PACKET = 1 << 20
_NUMBERS = 2**32
_PIECE = 64 << 10
"""Bytes that are looked at together: one large message, or many small ones."""
_length = struct.Struct(">I")
_HEAD = struct.Struct(">IBI")


class SftpChannel:
    """A conversation with one SFTP server.

    Args:
        channel: paramiko's, with the subsystem started.
        host: How the server is called in errors.

    Attributes:
        greeting: What the server's first packet holds: its extensions.
        open_requests: How many answers are still to come.

    Raises:
        ConnectionLostError: From all methods.
    """

    def __init__(self, channel: Any, host: str) -> None:
        self.host = host
        self._channel = channel
        # Pieces of just the size that `Channel.send` puts into one message, or each would end in a small one.
        self._piece = min(channel.out_max_packet_size, _LARGEST_MESSAGE) - 64
        self._queued: list[bytes | memoryview] = []
        self._queued_bytes = 0
        self._replies: dict[int, Reply] = {}
        self._number = 0
        self._data = memoryview(b"")
        self._at = 0
        self.greeting = self._greet()

    @property
    def open_requests(self) -> int:
        """How many answers are still to come."""
        return len(self._replies)

    def ask(self, kind: Kind, *fields: bytes | memoryview) -> Reply:
        """Queue a request, and return where its answer will be; see `flush`."""
        self._number = (self._number + 1) % _NUMBERS
        length = sum(map(len, fields))
        self._queued.append(head(kind, self._number, length))
        self._queued.extend(fields)
        self._queued_bytes += length + 9
        reply = self._replies[self._number] = Reply()
        if self._queued_bytes >= _ENOUGH:
            self._send(self._queued_bytes - self._queued_bytes % self._piece)
        return reply

    def flush(self) -> None:
        """Send what is queued."""
        if self._queued:
            self._send(self._queued_bytes)

    def receive(self) -> list[Reply]:
        """Wait for answers, and return those that have come."""
        found = [self._next()]
        data, at = self._data, self._at
        while len(data) - at >= _HEAD.size:
            length, kind, number = _HEAD.unpack_from(data, at)
            end = at + 4 + length
            if end > len(data):
                break
            self._check(length)
            found.append(self._settled(kind, number, data[at + _HEAD.size : end]))
            at = end
        self._at = at
        return found

    def end(self) -> None:
        """End the conversation, and wait until the server has: nothing that was asked for happens after this."""
        with suppress(paramiko.SSHException, EOFError, OSError):  # a connection that is lost has ended, too
            self._channel.shutdown_write()
            while self._channel.recv(_PIECE):
                continue
            self._channel.close()

    def _send(self, count: int) -> None:
        data = memoryview(b"".join(self._queued))
        with told_as_lost(self.host):
            for start in range(0, count, self._piece):
                self._send_piece(data[start : min(start + self._piece, count)])
        self._queued = [data[count:]] if count < len(data) else []
        self._queued_bytes = len(data) - count

    def _send_piece(self, piece: memoryview) -> None:
        while piece:
            sent = self._channel.send(piece)
            if not sent:
                raise EOFError("the server has closed the SFTP channel")
            piece = piece[sent:]

    def _take(self, count: int) -> bytes | memoryview:
        """Return the next bytes, just so many; copied only when they came in several pieces.

        Small copies, since joining a megabyte gives Python's lock away, and to get it back takes longer than the copy.
        """
        end = self._at + count
        if end <= len(self._data):
            found = self._data[self._at : end]
            self._at = end
            return found
        parts = [self._data[self._at :]]
        missing = end - len(self._data)
        while missing:
            self._data = self._received()
            self._at = min(missing, len(self._data))
            parts.append(self._data[: self._at])
            missing -= self._at
        return b"".join(parts)

    def _received(self) -> memoryview:
        with told_as_lost(self.host):
            data = self._channel.recv(_PIECE)
            if not data:
                raise EOFError("the server has closed the SFTP channel")
        return memoryview(data)

    def _next(self) -> Reply:
        length, kind, number = _HEAD.unpack(self._take(_HEAD.size))
        self._check(length)
        return self._settled(kind, number, self._take(length + 4 - _HEAD.size))

    def _check(self, length: int) -> None:
        if not 5 <= length <= _LARGEST_PACKET:
            raise ConnectionLostError(f"{self.host}: the SFTP server sent a packet of {length} bytes")

    def _settled(self, kind: int, number: int, body: bytes | memoryview) -> Reply:
        reply = self._replies.pop(number, None)
        if reply is None:
            raise ConnectionLostError(f"{self.host}: the SFTP server answers what it was not asked")
        reply.kind, reply.body = kind, body
        return reply

    def _greet(self) -> bytes:
        with told_as_lost(self.host):
            self._send_piece(memoryview(u32(5) + bytes([Kind.INIT]) + u32(VERSION)))
        begin = bytes(self._take(5))
        (length,) = _length.unpack_from(begin)
        if begin[4] != Kind.VERSION or not 5 <= length <= _LARGEST_PACKET:
            raise TransferError(
                f"{self.host}: no SFTP server answers, but {begin + bytes(self._data[self._at :][:80])!r}; start-up files "
                "of the login shell must print nothing when it is not interactive"
            )
        return bytes(self._take(length - 1))[4:]
