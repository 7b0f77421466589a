"""Frames that cross a network: each carries a seal that binds it to its connection, its direction and its place. Pure.

A frame is that of `frames` and 16 bytes more: HMAC-SHA256, cut off, over its number and its body. What was changed, left out,
sent again or sent back is not understood, and ends the connection. Nothing is hidden: whoever listens can read.
"""

from __future__ import annotations

import hmac

from pilot_agent.node.frames import FrameDecoder, FrameError, Framing, frame_of

SEAL_BYTES = 16


def _seal(key: bytes, number: int, body: bytes) -> bytes:
    return hmac.digest(key, number.to_bytes(8, "big") + body, "sha256")[:SEAL_BYTES]


class SealedDecoder(FrameDecoder):
    """As `FrameDecoder`, for sealed frames.

    Args:
        key: Of this direction of the connection.
    """

    _seal_bytes = SEAL_BYTES

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key
        self._number = 0

    def _check(self, body: bytes, seal: bytes) -> None:
        if not hmac.compare_digest(seal, _seal(self._key, self._number, body)):
            raise FrameError(f"frame {self._number} of the connection was not sealed by its peer")
        self._number += 1


class SealedFraming(Framing):
    """Both directions of one connection over a network.

    Args:
        sends: Key of what is sent.
        receives: Key of what comes.
    """

    def __init__(self, sends: bytes, receives: bytes) -> None:
        super().__init__(SealedDecoder(receives))
        self._key = sends
        self._number = 0

    def wrap(self, text: str) -> bytes:
        """Return the sealed frame of a value that is encoded already; raises as `frame_of`."""
        frame = frame_of(text)
        seal = _seal(self._key, self._number, text.encode("ascii"))
        self._number += 1
        return frame + seal
