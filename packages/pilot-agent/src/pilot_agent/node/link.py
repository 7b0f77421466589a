"""The executor's end of its connection to the head: frames over one descriptor that never blocks."""

from __future__ import annotations

import os
import select
import time

from pilot_agent.node.frames import Framing

_READ_BYTES = 256 * 1024


class HeadLink:
    """Frames from and to the head. A head that is busy makes `unsent` grow, never this process wait."""

    def __init__(self, fd: int, framing: Framing | None = None) -> None:
        """Take over a connection; without a framing, one inside this machine."""
        os.set_blocking(fd, False)
        self.fd = fd
        self._framing = framing or Framing()
        self._hang_up = select.poll()
        self._hang_up.register(fd, select.POLLRDHUP)
        self._unsent = bytearray()

    @property
    def unsent(self) -> int:
        """Bytes that wait until the head reads."""
        return len(self._unsent)

    @property
    def is_cut(self) -> bool:
        """Whether the head has closed the connection, whatever has not been read of it."""
        return bool(self._hang_up.poll(0))

    def receive(self) -> list[object] | None:
        """Return the frames that have arrived; None once the head has closed the connection.

        Raises:
            FrameError: what arrived are no frames.
        """
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:  # reset, or nothing heard of the head's machine for too long
            return None
        return self._framing.feed(data) if data else None

    def send(self, text: str) -> None:
        """Send a frame, encoded as JSON already, as far as the head takes it now, and keep the rest for `flush`."""
        self._unsent += self._framing.wrap(text)
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the head takes it now. What a dead head did not take is dropped."""
        try:
            while self._unsent:
                del self._unsent[: os.write(self.fd, self._unsent)]
        except BlockingIOError:
            return
        except OSError:
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
