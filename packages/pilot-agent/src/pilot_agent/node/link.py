"""The executor's end of its connection to the head: frames over one descriptor that never blocks."""

from __future__ import annotations

import os
import select
import time

from pilot_agent.node.frames import FrameDecoder

_READ_BYTES = 256 * 1024


class HeadLink:
    """Frames from and to the head. A head that is busy makes `unsent` grow, never this process wait."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._decoder = FrameDecoder()
        self._unsent = bytearray()

    @property
    def unsent(self) -> int:
        """Bytes that wait until the head reads."""
        return len(self._unsent)

    def receive(self) -> list[object] | None:
        """Return the frames that have arrived; None once the head has closed the connection.

        Raises:
            FrameError: what arrived are no frames.
        """
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        return self._decoder.feed(data) if data else None

    def send(self, frame: bytes) -> None:
        """Send `frame` as far as the head takes it now, and keep the rest for `flush`."""
        self._unsent += frame
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the head takes it now. What a dead head did not take is dropped."""
        try:
            while self._unsent:
                del self._unsent[: os.write(self.fd, self._unsent)]
        except BlockingIOError:
            return
        except ConnectionError:
            self._unsent.clear()

    def drain(self, timeout_s: float) -> None:
        """Send all that waits, for at most `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        self.flush()
        while self._unsent and (left_s := deadline_s - time.monotonic()) > 0:
            poll.poll(left_s * 1000)
            self.flush()
