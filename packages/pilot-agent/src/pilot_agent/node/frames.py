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


def frame_of(text: str) -> bytes:
    """Return the frame of a value that is encoded already.

    Raises:
        FrameError: it is longer than `MAX_FRAME_BYTES`.
    """
    body = text.encode("ascii")
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"frame of {len(body)} bytes exceeds {MAX_FRAME_BYTES}; send it in smaller batches")
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


class Framing:
    """Both directions of one connection: texts become frames, bytes that came become values."""

    def __init__(self, decoder: FrameDecoder | None = None) -> None:
        self._decoder = decoder or FrameDecoder()

    def wrap(self, text: str) -> bytes:
        """Return the frame of a value that is encoded already; raises as `frame_of`."""
        return frame_of(text)

    def feed(self, data: bytes) -> list[object]:
        """Take what came; as `FrameDecoder.feed`."""
        return self._decoder.feed(data)

    @property
    def wanted(self) -> int:
        """As `FrameDecoder.wanted`: who reads no more than this gets one frame and nothing of the next."""
        return self._decoder.wanted


class FrameDecoder:
    """Cuts a byte stream, fed in pieces of any size, into the values it carries."""

    _seal_bytes = 0
    """What follows the body of each frame."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[object]:
        """Add `data` and return the values completed by it, oldest first.

        Raises:
            FrameError: a frame is longer than allowed, is not JSON or has a wrong seal. The decoder is of no use
            afterwards.
        """
        self._buffer += data
        values: list[object] = []
        start = 0
        while (end := self._frame_end(start)) is not None:
            body_end = end - self._seal_bytes
            body = bytes(self._buffer[start + _HEADER_BYTES : body_end])
            self._check(body, bytes(self._buffer[body_end:end]))
            values.append(_decode(body))
            start = end
        del self._buffer[:start]
        return values

    @property
    def wanted(self) -> int:
        """Bytes that the next frame still needs, as far as its header is there to tell."""
        got = len(self._buffer)
        if got < _HEADER_BYTES:
            return _HEADER_BYTES - got
        length = int.from_bytes(self._buffer[:_HEADER_BYTES], "big")
        return _HEADER_BYTES + length + self._seal_bytes - got

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
        end = body_start + length + self._seal_bytes
        return end if end <= len(self._buffer) else None

    def _check(self, body: bytes, seal: bytes) -> None:
        """Raise a `FrameError` where the seal is not the body's; plain frames have none."""


def _decode(body: bytes) -> object:
    try:
        value: object = json.loads(body)
    except ValueError as error:
        raise FrameError(
            f"frame of {len(body)} bytes is not JSON: {error}; it begins {body[:60]!r}"
        ) from error
    return value
