"""Where executors of other nodes call: a port of this machine, and who is let in.

Nothing is taken from a connection before both ends have proved that they belong to the pilot. Others are dropped without a word.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Callable, NamedTuple

from .node.frames import PROTOCOL, Framing, encode
from .node.handshake import HELLO_BYTES, NONCE_BYTES, PROOF_BYTES, HandshakeError, Head
from .node.tcp import watch_peer

logger = logging.getLogger(__name__)

_LIMIT_S = 10.0
"""How long a caller may take to say who it is."""
_MOST_NODES_ASKED = 8
"""So many nodes are asked which of our addresses is theirs to call: the first ones stand for the rest."""
_FAR_AWAY = "192.0.2.1"
"""An address that nobody has: on the way there is what this machine is known by, whatever the names of nodes are worth."""


class Arrival(NamedTuple):
    """An executor that has called, and belongs to the pilot."""

    hello: Mapping[str, Any]
    socket: socket.socket
    """Non-blocking."""
    framing: Framing

    def dismiss(self) -> None:
        """Send it away for good."""
        with suppress(OSError):
            self.socket.send(self.framing.wrap(encode(["stop"])))
        self.socket.close()


class NodeListener:
    """A port that executors call.

    Args:
        key: The pilot's, from :func:`~pilot_agent.node.handshake.link_key`.

    Raises:
        OSError: This machine has no port for us.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._on_arrival: Callable[[Arrival], None] = Arrival.dismiss
        self._calls: set[asyncio.Task[None]] = set()
        self._socket = _listening_socket()
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    @property
    def port(self) -> int:
        """The port's number."""
        return int(self._socket.getsockname()[1])

    def hand_to(self, on_arrival: Callable[[Arrival], None]) -> None:
        """Hand arrivals to this one from now on; until it is called first they are sent away."""
        self._on_arrival = on_arrival

    def close(self) -> None:
        """Let nobody in any more."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        for call in self._calls:
            call.cancel()

    def _accept(self) -> None:
        try:
            connection, address = self._socket.accept()
        except OSError:  # whoever called has gone again
            return
        call = asyncio.ensure_future(self._answer(connection, address[0]))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _answer(self, connection: socket.socket, host: str) -> None:
        try:
            connection.setblocking(False)
            watch_peer(connection)
            arrival = await asyncio.wait_for(_admit(connection, self._key), _LIMIT_S)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            logger.warning(
                "node.refused %s: %s", host, str(error) or "it said nothing", extra={"action": "node.refused"}
            )
            connection.close()
            return
        except asyncio.CancelledError:
            connection.close()
            raise
        self._on_arrival(arrival)


async def _admit(connection: socket.socket, key: bytes) -> Arrival:
    loop = asyncio.get_running_loop()
    head, answer = Head.meet(key, await _receive(connection, HELLO_BYTES), secrets.token_bytes(NONCE_BYTES))
    await loop.sock_sendall(connection, answer)
    framing = head.admit(await _receive(connection, PROOF_BYTES))
    frames: list[Any] = []
    while not frames:
        frames = framing.feed(await _receive(connection, framing.wanted))
    verb, hello = frames[0]
    if verb != "hello" or hello.get("protocol") != PROTOCOL:
        raise HandshakeError(
            f"it speaks another version of the frames than {PROTOCOL}: {verb} {hello!r:.200}"
        )
    return Arrival(hello, connection, framing)


async def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await asyncio.get_running_loop().sock_recv(connection, size - len(data))
        if not part:
            raise HandshakeError("the connection was closed before it was let in")
        data += part
    return data


def _listening_socket() -> socket.socket:
    backlog = socket.SOMAXCONN
    if socket.has_dualstack_ipv6():
        with suppress(OSError):  # IPv6 is known here and switched off
            return socket.create_server(("", 0), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
    return socket.create_server(("", 0), backlog=backlog)


def addresses_for(nodes: Iterable[str], own_name: str) -> list[str]:
    """Return the addresses of this machine by which ``nodes`` reach it, as far as can be told, the best first.

    Args:
        nodes: Their names.
        own_name: What they may call this machine.
    """
    asked = [*islice(nodes, _MOST_NODES_ASKED), _FAR_AWAY]
    found = [address for node in asked for address in _addresses_towards(node)]
    return list(dict.fromkeys([*found, own_name, socket.gethostname()]))


def _addresses_towards(node: str) -> list[str]:
    """Return this machine's addresses on the way to a node; nothing is sent there."""
    found = []
    with suppress(OSError):  # a name that only the batch system knows
        for family, _, _, _, address in socket.getaddrinfo(node, 9, type=socket.SOCK_DGRAM):
            with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(address)
                found.append(str(probe.getsockname()[0]))
    return found
