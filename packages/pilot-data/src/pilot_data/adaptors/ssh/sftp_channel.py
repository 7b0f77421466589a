"""SFTP packets over one SSH channel: requests leave in full SSH messages, answers are taken as they come."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import paramiko

from pilot_data.errors import ConnectionLostError

from .problems import told_as_lost
from .replies import Reply
from .sftp_wire import VERSION, Kind, Reader, head, u32

WINDOW = 16 << 20
"""Bytes that a server may send ahead: enough for 400 MB/s at 40 ms."""

_LARGEST_MESSAGE = 32 << 10
_ENOUGH = 4 * _LARGEST_MESSAGE
_LARGEST_PACKET = 1 << 20
_NUMBERS = 2**32
_length_kind_number = struct.Struct(">IBI")


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
        self._data: bytes = b""
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
        self._fill(4)
        self._fill(4 + self._length())
        found = [self._next()]
        while self._has_packet():
            found.append(self._next())
        return found

    def end(self) -> None:
        """End the conversation, and wait until the server has: nothing that was asked for happens after this."""
        with suppress(paramiko.SSHException, EOFError, OSError):  # a connection that is lost has ended, too
            self._channel.shutdown_write()
            while self._channel.recv(2 * WINDOW):
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

    def _fill(self, count: int) -> None:
        """Read until so many bytes are there; each byte is copied once, however many pieces a packet comes in."""
        have = len(self._data) - self._at
        if have >= count:
            return
        parts = [self._data[self._at :]]
        with told_as_lost(self.host):
            while have < count:
                # All that is there: taking a part would move the rest, each time.
                part = self._channel.recv(2 * WINDOW)
                if not part:
                    raise EOFError("the server has closed the SFTP channel")
                parts.append(part)
                have += len(part)
        self._data, self._at = b"".join(parts), 0

    def _has_packet(self) -> bool:
        have = len(self._data) - self._at
        return have >= 4 and have >= 4 + self._length()

    def _length(self) -> int:
        return int.from_bytes(self._data[self._at : self._at + 4], "big")

    def _next(self) -> Reply:
        length, kind, number = _length_kind_number.unpack_from(self._data, self._at)
        body = memoryview(self._data)[self._at + 9 : self._at + 4 + length]
        self._at += 4 + length
        reply = self._replies.pop(number, None)
        if reply is None:
            raise ConnectionLostError(f"{self.host}: the SFTP server answers what it was not asked")
        reply.settle(kind, body)
        return reply

    def _greet(self) -> bytes:
        with told_as_lost(self.host):
            self._send_piece(memoryview(u32(5) + bytes([Kind.INIT]) + u32(VERSION)))
        self._fill(9)
        length = self._length()
        if self._data[4] != Kind.VERSION or not 5 <= length <= _LARGEST_PACKET:
            raise ConnectionLostError(
                f"{self.host}: no SFTP server answers, but {bytes(self._data[:80])!r}; start-up files of the login "
                "shell must print nothing when it is not interactive",
                transient=False,
            )
        self._fill(4 + length)
        reader = Reader(self._data[5 : 4 + length])
        self._at = 4 + length
        reader.u32()
        return self._data[9 : 4 + length]
