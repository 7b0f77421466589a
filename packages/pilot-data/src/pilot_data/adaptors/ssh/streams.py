"""Local files beside the wire: a thread reads and hashes what is sent, or writes and hashes what has come.

Hashing and the disk take as long as encryption does, and give Python's lock away while they work.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress

from pilot_data.landing import Landing
from pilot_data.source_file import SourceFile

_AHEAD = 8
"""Pieces that are held between the threads."""


class ReadAhead:
    """Reads a file in blocks, some of them before they are asked for.

    Args:
        source: The file.
        block: Bytes in each block but the last.
        together: Blocks that are read at once.
    """

    def __init__(self, source: SourceFile, block: int, together: int) -> None:
        self._source = source
        self._block = block
        self._together = together
        self._pieces: queue.Queue[bytes | BaseException] = queue.Queue(_AHEAD)
        self._piece = memoryview(b"")
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="pilot-data-read", daemon=True)
        self._thread.start()

    def read(self) -> memoryview:
        """Return the next block; nothing at the end.

        Raises:
            TransferError: It cannot be read.
        """
        if not self._piece:
            piece = self._pieces.get()
            if isinstance(piece, BaseException):
                raise piece
            self._piece = memoryview(piece)
        block, self._piece = self._piece[: self._block], self._piece[self._block :]
        return block

    def stop(self) -> None:
        """Read no further, and wait until nothing is being read."""
        self._stopped = True
        with suppress(queue.Empty):
            while True:
                self._pieces.get_nowait()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopped:
                piece = self._source.read(self._block * self._together)
                self._pieces.put(piece)
                if not piece:
                    return
        except Exception as error:  # noqa: BLE001 - raised by `read`
            self._pieces.put(error)


class WriteBehind:
    """Writes blocks to a file that lands, some time after they are given.

    Args:
        landing: The file.
    """

    def __init__(self, landing: Landing) -> None:
        self._landing = landing
        self._blocks: queue.Queue[tuple[bytes | memoryview, int] | None] = queue.Queue(_AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pilot-data-write", daemon=True)
        self._thread.start()

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Give a block to be written.

        Raises:
            TransferError: An earlier one could not be.
        """
        self._blocks.put((data, offset))
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Wait until all is written."""
        self._blocks.put(None)
        self._thread.join()

    def finish(self) -> None:
        """Wait until all is written.

        Raises:
            TransferError: Some of it could not be.
        """
        self.stop()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            if self._error is None:
                self._write(*block)

    def _write(self, data: bytes | memoryview, offset: int) -> None:
        try:
            self._landing.write(data, offset)
        except Exception as error:  # noqa: BLE001 - raised by `write` and `finish`
            self._error = error
