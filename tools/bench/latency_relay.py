"""A TCP relay that delays what passes it, for measurements over long ways.

    python tools/bench/latency_relay.py LISTEN_PORT TARGET_PORT ROUND_TRIP_MS

Both ends are on the loopback interface; the bandwidth is not limited.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
from contextlib import suppress

_PIECE = 1 << 18
_PIECES = 256


def relay(listen_port: int, target_port: int, round_trip_s: float) -> None:
    """Serve until the process is ended."""
    server = socket.create_server(("127.0.0.1", listen_port), backlog=64)
    while True:
        client, _address = server.accept()
        target = socket.create_connection(("127.0.0.1", target_port))
        for one, other in ((client, target), (target, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Way(one, other, round_trip_s / 2).start()


class _Way:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, target: socket.socket, delay_s: float) -> None:
        self._source = source
        self._target = target
        self._delay_s = delay_s
        self._pieces: queue.Queue[tuple[float, bytes]] = queue.Queue(_PIECES)

    def start(self) -> None:
        for step in (self._receive, self._send):
            threading.Thread(target=step, daemon=True).start()

    def _receive(self) -> None:
        data = b"begin"
        while data:
            try:
                data = self._source.recv(_PIECE)
            except OSError:
                data = b""
            self._pieces.put((time.monotonic() + self._delay_s, data))

    def _send(self) -> None:
        with suppress(OSError):
            while True:
                due_s, data = self._pieces.get()
                time.sleep(max(0.0, due_s - time.monotonic()))
                if not data:
                    self._target.shutdown(socket.SHUT_WR)
                    return
                self._target.sendall(data)


if __name__ == "__main__":
    relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000)
