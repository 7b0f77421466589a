"""The head's side of one executor: writes frames, hands incoming frames to a callback.

Lost executors are an event like any other; what their units become is the core's decision.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any, Callable

from .node.frames import FrameError, Framing, encode
from .node.launcher import StartedExecutor

_READ_BYTES = 256 * 1024
_SILENCE = frozenset(
    {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
)


class ExecutorLink:
    """One executor process and the socket to it.

    Args:
        index: The executor's number.
        on_frame: Called with each frame.
        on_lost: Called once, when the executor's end of the socket is gone.
    """

    def __init__(
        self, index: int, on_frame: Callable[[int, Any], None], on_lost: Callable[[int], None]
    ) -> None:
        self.index = index
        self.pid = 0
        self.fell_silent = False
        """Whether nothing was heard of its machine any more: it may still run there."""
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._framing = Framing()
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        self._gone = asyncio.Event()

    def attach(self, started: StartedExecutor, framing: Framing | None = None) -> None:
        """Take over an executor that was started, the first one or the successor of one that was lost.

        Args:
            started: The executor.
            framing: Of its frames; None: those that do not leave this machine.
        """
        # Half a frame of a dead executor must not be taken for the beginning of its successor's.
        self._framing = framing or Framing()
        self.fell_silent = False
        self._gone = asyncio.Event()
        self.pid = started.pid
        self._socket = started.socket
        asyncio.get_running_loop().add_reader(started.socket, self._read)

    def send(self, frame: Any) -> None:
        """Send a frame, now or as soon as the socket takes it. A lost executor takes none."""
        if self._socket is None:
            return
        waiting = bool(self._unsent)
        self._unsent += self._framing.wrap(encode(frame))
        if not waiting:
            self._write()

    def _write(self) -> None:
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            loop.add_writer(self._socket, self._write)
            return
        except OSError as error:
            self._note_silence(error)
            # Its last frames and its end are read in a turn of the loop's own: who sends is in the middle of a decision,
            # and the orders that still follow from it are not for a successor.
            self._unsent.clear()
        loop.remove_writer(self._socket)

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(_READ_BYTES)
            frames = self._framing.feed(data) if data else []
        except BlockingIOError:
            return
        except (OSError, FrameError) as error:
            self._note_silence(error)
            data, frames = b"", []
        for frame in frames:
            self._on_frame(self.index, frame)
        if not data:
            self._lose()

    def _note_silence(self, error: Exception) -> None:
        self.fell_silent = self.fell_silent or getattr(error, "errno", None) in _SILENCE

    def _lose(self) -> None:
        if self._socket is not None:
            self.close()
            self._on_lost(self.index)

    @property
    def is_open(self) -> bool:
        """Whether there is an executor at the other end, as far as is known."""
        return self._socket is not None

    async def wait_closed(self, deadline_s: float) -> None:
        """Wait until the executor has closed its end, at most until ``deadline_s`` of the loop's clock."""
        left = deadline_s - asyncio.get_running_loop().time()
        try:
            await asyncio.wait_for(self._gone.wait(), max(left, 0.0))
        except asyncio.TimeoutError:
            return

    def close(self) -> None:
        """Close the socket, which ends the executor and all it runs."""
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        self._socket.close()
        self._socket = None
        self._unsent.clear()
        self._gone.set()
