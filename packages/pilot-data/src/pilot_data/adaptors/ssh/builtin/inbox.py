"""What has come on a channel and was not looked at yet. Knows paramiko's insides, as `packetizer` does."""

from __future__ import annotations

from collections import deque

from paramiko.buffered_pipe import BufferedPipe, PipeTimeout


class Inbox(BufferedPipe):  # type: ignore[misc] # paramiko has no types
    """Gives the content of large messages as they came, and that of small ones together.

    paramiko's own copies each into an array, out of it, and moves what is left there to its front.
    """

    def __init__(self) -> None:
        super().__init__()
        self._buffer: deque[bytes] = deque()

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        with self._lock:
            self._buffer.append(data)
            self._cv.notify()

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        """Return what came in some messages, at least a part of one; nothing when no more will come.

        Args:
            nbytes: How many bytes, at most.
            timeout: Seconds to wait; None for any number.

        Raises:
            PipeTimeout: Nothing has come.
        """
        with self._lock:
            if not self._cv.wait_for(lambda: self._buffer or self._closed, timeout):
                raise PipeTimeout
            if not self._buffer:
                return b""
            data = self._buffer.popleft()
            if len(data) > nbytes:
                self._buffer.appendleft(data[nbytes:])
                return data[:nbytes]
            return self._with_more(data, nbytes) if self._buffer else data

    def _with_more(self, data: bytes, nbytes: int) -> bytes:
        parts, room = [data], nbytes - len(data)
        while self._buffer and len(self._buffer[0]) <= room:
            room -= len(self._buffer[0])
            parts.append(self._buffer.popleft())
        return b"".join(parts)
