"""Reading from a pipe up to a sign, for a limited time.

The invariant: what came after the sign is handed on, not lost.
"""

from __future__ import annotations

import os
import selectors
import time
from dataclasses import dataclass
from typing import IO

CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Found:
    """A line that bears a sign.

    Attributes:
        line: What follows the sign on its line.
        rest: What was read after that line.
    """

    line: bytes
    rest: bytes


class PipeEndedError(Exception):
    """A pipe ended without the sign.

    Attributes:
        text: What came instead.
    """

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


def read_past(pipe: IO[bytes], sign: bytes, limit_s: float) -> Found:
    """Read an unbuffered pipe until a whole line that bears a sign has come; what comes before is dropped.

    Args:
        pipe: To be read.
        sign: To look for.
        limit_s: Wait no longer.

    Raises:
        PipeEndedError: The pipe ended without it.
        TimeoutError: It did not come in time.
    """
    deadline = time.monotonic() + limit_s
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            chunk = os.read(pipe.fileno(), CHUNK_BYTES)
            if not chunk:
                raise PipeEndedError(text)
            text += chunk
            found = _find(text, sign)
            if found is not None:
                return found
    raise TimeoutError


def _find(text: bytes, sign: bytes) -> Found | None:
    _, there, after = text.partition(sign)
    line, whole, rest = after.partition(b"\n")
    return Found(line, rest) if there and whole else None
