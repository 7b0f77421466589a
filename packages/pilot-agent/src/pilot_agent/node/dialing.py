"""An executor's way to a head on another machine: one of its addresses, the handshake, frames one at a time."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pilot_agent.node.frames import FrameError, Framing, encode
from pilot_agent.node.handshake import ANSWER_BYTES, NONCE_BYTES, HandshakeError, Node, hello_of
from pilot_agent.node.tcp import watch_peer

_CONNECT_S = 3.0
_ANSWER_S = 10.0
_PAUSE_S = 0.5


class UnreachableError(Exception):
    """No head answered."""


class Call:
    """An open connection, until the executor's loop takes it over."""

    def __init__(self, connection: socket.socket, framing: Framing) -> None:
        self.connection = connection
        self.framing = framing

    def say(self, frame: Any) -> None:
        """Send a frame."""
        self.connection.sendall(self.framing.wrap(encode(frame)))

    def hear(self) -> Any:
        """Wait for a frame, and take nothing of what follows it.

        Raises:
            UnreachableError: The connection ended before.
        """
        frames: list[object] = []
        while not frames:
            try:
                data = self.connection.recv(self.framing.wanted)
                frames = self.framing.feed(data) if data else []
            except (OSError, FrameError) as error:
                raise UnreachableError(f"the connection to the head broke: {error}") from error
            if not data:
                raise UnreachableError("the head closed the connection")
        return frames[0]


def dial(heads: Sequence[str], key: bytes, patience_s: float) -> Call:
    """Return a connection to the pilot's head.

    Args:
        heads: Its addresses, ``host:port``, in the order in which they are tried.
        key: The pilot's, from `handshake.link_key`.
        patience_s: How long to go on while nothing answers. Where all addresses refuse there is no head any more.

    Raises:
        UnreachableError: There is none; the message names each address and what became of it.
    """
    deadline_s = time.monotonic() + patience_s
    while True:
        troubles: dict[str, Exception] = {}
        for head in heads:
            try:
                return _call(head, key)
            except (OSError, HandshakeError) as error:
                troubles[head] = error
        final = (ConnectionRefusedError, HandshakeError, socket.gaierror)
        if time.monotonic() >= deadline_s or all(isinstance(error, final) for error in troubles.values()):
            said = ", ".join(f"{head}: {error}" for head, error in troubles.items())
            raise UnreachableError(f"the head cannot be reached ({said})")
        time.sleep(_PAUSE_S)


def _call(head: str, key: bytes) -> Call:
    host, _, port = head.rpartition(":")
    connection = socket.create_connection((host, int(port)), _CONNECT_S)
    try:
        connection.settimeout(_ANSWER_S)
        watch_peer(connection)
        node = Node(key, hello_of(os.urandom(NONCE_BYTES)))
        connection.sendall(node.hello)
        proof, framing = node.prove(_receive(connection, ANSWER_BYTES))
        connection.sendall(proof)
        connection.settimeout(None)
    except BaseException:
        with suppress(OSError):
            connection.close()
        raise
    return Call(connection, framing)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise HandshakeError("whoever answers there closed the connection")
        data += part
    return data
