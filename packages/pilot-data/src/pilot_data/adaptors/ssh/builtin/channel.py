"""A channel of paramiko's: what is sent leaves in full SSH messages."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pilot_data.adaptors.ssh.connection import Channel
from pilot_data.adaptors.ssh.sftp_wire import Buffer

from .closing import Sending
from .inbox import Inbox

_LARGEST_MESSAGE = 32 << 10
_ENOUGH = 4 * _LARGEST_MESSAGE


class BuiltinChannel(Channel):
    """A channel on which a program is to be started.

    Args:
        channel: paramiko's, on which nothing was asked for yet.
    """

    def __init__(self, channel: Any) -> None:
        channel.in_buffer = Inbox()  # nothing comes before something was asked for
        self._channel = channel
        self._sending = Sending(channel)
        # Pieces of just the size that `Channel.send` puts into one message, or each would end in a small one.
        self._piece = min(channel.out_max_packet_size, _LARGEST_MESSAGE) - 64
        self._queued: list[Buffer] = []
        self._queued_bytes = 0
        self._wait_s: float | None = None

    def put(self, *parts: Buffer) -> None:
        """See `Channel.put`."""
        self._queued.extend(parts)
        self._queued_bytes += sum(map(len, parts))
        if self._queued_bytes >= _ENOUGH:
            self._send(self._queued_bytes - self._queued_bytes % self._piece)

    def flush(self) -> None:
        """See `Channel.flush`."""
        if self._queued:
            self._send(self._queued_bytes)

    def receive(self, count: int) -> bytes:
        """See `Channel.receive`."""
        self._channel.settimeout(self._wait_s)
        data: bytes = self._channel.recv(count)
        return data

    @property
    def is_ready(self) -> bool:
        """See `Channel.is_ready`."""
        return bool(self._channel.recv_ready())

    def wait_at_most(self, seconds: float | None) -> None:
        """See `Channel.wait_at_most`."""
        self._wait_s = seconds

    def end_input(self) -> None:
        """See `Channel.end_input`."""
        with self._sending:
            self._channel.shutdown_write()

    def close(self) -> None:
        """See `Channel.close`."""
        with suppress(EOFError, OSError):  # a connection that is lost holds no program
            self._channel.close()

    def _send(self, count: int) -> None:
        data = memoryview(b"".join(self._queued))
        self._channel.settimeout(None)
        for start in range(0, count, self._piece):
            self._send_piece(data[start : min(start + self._piece, count)])
        self._queued = [data[count:]] if count < len(data) else []
        self._queued_bytes = len(data) - count

    def _send_piece(self, piece: memoryview) -> None:
        while piece:
            with self._sending:
                sent = self._channel.send(piece)
            if not sent:
                raise EOFError("the server has closed the channel")
            piece = piece[sent:]
