"""SFTP packets over one channel: requests leave together, answers are taken as they come."""

from __future__ import annotations

import struct
from contextlib import suppress

from pilot_data.errors import ConnectionLostError, TransferError

from .connection import Channel
from .problems import told_as_lost
from .replies import Reply
from .sftp_wire import VERSION, Kind, head, u32

WINDOW = 16 << 20
"""Bytes that a server may send ahead: enough for 400 MB/s at 40 ms."""

_LARGEST_PACKET = 1 << 20
_NUMBERS = 2**32
_PIECE = 256 << 10
"""Bytes that are looked at together: one large message, or many small ones."""
_length = struct.Struct(">I")
_HEAD = struct.Struct(">IBI")


class SftpChannel:
    """A conversation with one SFTP server.

    Args:
        channel: Of the subsystem.
        host: How the server is called in errors.

    Attributes:
        greeting: What the server's first packet holds: its extensions.
        open_requests: How many answers are still to come.

    Raises:
        ConnectionLostError: From all methods.
    """

    def __init__(self, channel: Channel, host: str) -> None:
        self.host = host
        self._channel = channel
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
        reply = self._replies[self._number] = Reply()
        with told_as_lost(self.host):
            self._channel.put(head(kind, self._number, sum(map(len, fields))), *fields)
        return reply

    def flush(self) -> None:
        """Send what is queued."""
        with told_as_lost(self.host):
            self._channel.flush()

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
        with suppress(EOFError, OSError):  # a connection that is lost has ended, too
            self._channel.end_input()
            while self._channel.receive(_PIECE):
                continue
        self._channel.close()

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
            data = self._channel.receive(_PIECE)
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
            self._channel.put(u32(5), bytes([Kind.INIT]), u32(VERSION))
            self._channel.flush()
        begin = bytes(self._take(5))
        (length,) = _length.unpack_from(begin)
        if begin[4] != Kind.VERSION or not 5 <= length <= _LARGEST_PACKET:
            raise TransferError(
                f"{self.host}: no SFTP server answers, but {begin + bytes(self._data[self._at :][:80])!r}; start-up files "
                "of the login shell must print nothing when it is not interactive"
            )
        return bytes(self._take(length - 1))[4:]
