"""Framing between head and executor: 4-byte big-endian length, then one compact JSON value.

Pure bytes in, values out; the sockets belong to the two ends. Text that is not UTF-8 (a unit's output) travels as
surrogate escapes, which JSON's ASCII form carries unchanged.
"""

from __future__ import annotations

import json

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Largest body of a frame. A peer that announces more is broken: nothing either end says comes near it."""

PROTOCOL = 1
"""Version of the frames; the executor names it in its `hello`."""

_HEADER_BYTES = 4

encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
"""Return a value as the compact JSON text of frames and journal."""


class FrameError(ValueError):
    """The stream of frames cannot be understood any more; the connection must be given up."""


def encode_frame(value: object) -> bytes:
    """Return `value` as one frame.

    Raises:
        FrameError: its body would be longer than `MAX_FRAME_BYTES`.
    """
    return frame_of(encode(value))


def frame_of(text: str) -> bytes:
    """Return the frame of a value that is encoded already.

    Raises:
        FrameError: it is longer than `MAX_FRAME_BYTES`.
    """
    body = text.encode("ascii")
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"frame of {len(body)} bytes exceeds {MAX_FRAME_BYTES}; send it in smaller batches")
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


class FrameDecoder:
    """Cuts a byte stream, fed in pieces of any size, into the values it carries."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[object]:
        """Add `data` and return the values completed by it, oldest first.

        Raises:
            FrameError: a frame is longer than allowed or is not JSON. The decoder is of no use afterwards.
        """
        self._buffer += data
        values: list[object] = []
        start = 0
        while (end := self._frame_end(start)) is not None:
            values.append(_decode(bytes(self._buffer[start + _HEADER_BYTES : end])))
            start = end
        del self._buffer[:start]
        return values

    def _frame_end(self, start: int) -> int | None:
        """Index after the frame that begins at `start`, None while it is not complete."""
        body_start = start + _HEADER_BYTES
        if len(self._buffer) < body_start:
            return None
        length = int.from_bytes(self._buffer[start:body_start], "big")
        if length > self._max_frame_bytes:
            raise FrameError(
                f"peer announced a frame of {length} bytes; at most {self._max_frame_bytes} are allowed"
            )
        end = body_start + length
        return end if end <= len(self._buffer) else None


def _decode(body: bytes) -> object:
    try:
        value: object = json.loads(body)
    except ValueError as error:
        raise FrameError(
            f"frame of {len(body)} bytes is not JSON: {error}; it begins {body[:60]!r}"
        ) from error
    return value
