"""A connection between head and node: small frames go at once, and a peer that is gone is known within 20 s."""

from __future__ import annotations

import socket

SILENCE_S = 20
"""After so long without a sign of life from the peer's machine the kernel gives a connection up, on both ends alike."""

_PROBES = 3
_PROBE_S = SILENCE_S // (_PROBES + 1)


def watch_peer(connection: socket.socket) -> None:
    """Set up a connection."""
    tcp = socket.IPPROTO_TCP
    connection.setsockopt(tcp, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(tcp, socket.TCP_KEEPIDLE, _PROBE_S)
    connection.setsockopt(tcp, socket.TCP_KEEPINTVL, _PROBE_S)
    connection.setsockopt(tcp, socket.TCP_KEEPCNT, _PROBES)
    connection.setsockopt(tcp, socket.TCP_USER_TIMEOUT, SILENCE_S * 1000)
