"""paramiko's packets, read in large pieces. Knows paramiko's insides (versions 4 and 5), and nothing else does."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import Any

from paramiko.packet import NeedRekeyException, Packetizer

_PIECE = 1 << 18
_HEAD = struct.Struct(">IB")
_NEVER = 2**40
_RANDOM = 1 << 12
_REMAINDER = "_Packetizer__remainder"  # what came in one piece with the server's greeting


class BufferedPacketizer(Packetizer):  # type: ignore[misc] # paramiko has no types
    """Asks the system for 256 KiB at a time, not twice for each packet, and leaves new keys to the server.

    paramiko wants new keys after 512 MiB; when the other side closes a channel just then, its thread waits for itself
    and the connection dies (paramiko's issue 822). AES-GCM is safe for far more, and OpenSSH's servers have limits of
    their own, which are kept.

    Args:
        sock: The connection.
    """

    REKEY_PACKETS = REKEY_BYTES = _NEVER
    REKEY_PACKETS_OVERFLOW_MAX = REKEY_BYTES_OVERFLOW_MAX = _NEVER

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._sock = sock
        self._data = b""
        self._at = 0
        self._random = b""

    def close(self) -> None:
        """End the connection at once: nobody waits for the socket any more."""
        with suppress(OSError, EOFError):  # it has ended already
            self._sock.shutdown(socket.SHUT_RDWR)
        super().close()

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: FBT001, FBT002 - paramiko's signature
        """Return just so many bytes.

        Args:
            n: How many.
            check_rekey: Whether to leave when new keys are wanted and nothing has come yet.

        Raises:
            EOFError: The connection has ended.
            NeedRekeyException: See ``check_rekey``.
        """
        end = self._at + n
        if end > len(self._data):
            self._fill(n, check_rekey=check_rekey)
            end = n
        found = self._data[self._at : end]
        self._at = end
        return found

    def _build_packet(self, payload: bytes) -> bytes:
        """Return a packet with its padding, of random bytes that are asked for many at a time.

        Each question gives Python's lock away, and to get it back from the other threads costs more than encryption.
        """
        inside = self.__dict__
        block = inside["_Packetizer__block_size_out"]
        # What is sent in the clear counts to no block (RFC 5647; OpenSSH's encrypt-then-mac).
        clear = inside["_Packetizer__etm_out"] or inside["_Packetizer__aead_out"]
        count = 3 + block - (len(payload) + (4 if clear else 8)) % block
        if len(self._random) < count:
            self._random = os.urandom(_RANDOM)
        padding, self._random = self._random[:count], self._random[count:]
        return b"".join((_HEAD.pack(len(payload) + count + 1, count), payload, padding))

    def _fill(self, count: int, *, check_rekey: bool) -> None:
        """Read until so many bytes are there, from the place 0 on; what had come before an exception is kept."""
        inside = self.__dict__
        parts = [self._data[self._at :], inside[_REMAINDER]]
        inside[_REMAINDER] = b""
        have = sum(map(len, parts))
        try:
            while have < count:
                part = self._receive(check_rekey=check_rekey and not have)
                parts.append(part)
                have += len(part)
        finally:
            self._data, self._at = b"".join(parts), 0

    def _receive(self, *, check_rekey: bool) -> bytes:
        """Return what has come; nothing when it took longer than the socket waits."""
        if self.handshake_timed_out():
            raise EOFError
        try:
            data: bytes = self._sock.recv(_PIECE)
        except TimeoutError:
            if self.closed:
                raise EOFError from None
            if check_rekey and self.need_rekey():
                raise NeedRekeyException from None
            self._check_keepalive()
            return b""
        except OSError:
            if self.closed:
                raise EOFError from None
            raise
        if not data:
            raise EOFError
        return data
