"""What a mover writes to standard error: a file that an agent keeps as long as its pilot lives, so it must not grow without end."""

from __future__ import annotations

import logging
import os
import stat
from typing import TextIO

MOST_BYTES = 5_000_000
"""Of a log that is a file. One that is larger begins anew."""


def set_up(stream: TextIO, most_bytes: int = MOST_BYTES) -> None:
    """Have everything that is logged from now on written there.

    Args:
        stream: Where; a file that is only appended to, or anything else that takes text.
        most_bytes: Of a file.
    """
    handler = _Bounded(stream, most_bytes)
    logging.basicConfig(
        handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )


class _Bounded(logging.Handler):
    def __init__(self, stream: TextIO, most_bytes: int) -> None:
        super().__init__()
        self._stream = stream
        self._most_bytes = most_bytes

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; the handler's lock is held."""
        try:
            self._begin_anew_when_large()
            self._stream.write(f"{self.format(record)}\n")
            self._stream.flush()
        except (OSError, TypeError, ValueError):
            self.handleError(record)

    def _begin_anew_when_large(self) -> None:
        fd = self._stream.fileno()
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode) and found.st_size > self._most_bytes:
            os.ftruncate(fd, 0)
