"""A TCP relay that makes a short way long: it delays what passes it, bounds the rate, and counts the bytes.

    python integration/clusters/slow_link.py LISTEN TARGET ROUND_TRIP_MS [MB_PER_S [COUNT_FILE]]

LISTEN and TARGET are ``[host:]port``, by default of the loopback interface. The rate is that of all connections, both ways
together; 0 for any. COUNT_FILE has, at any time, the bytes that have passed as one number of 8 bytes, see `bytes_passed`.
"""

from __future__ import annotations

import mmap
import queue
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_PIECE = 1 << 16
_PIECES = 1024
_NUMBER = struct.Struct("=Q")


def bytes_passed(path: Path) -> int:
    """Return how many bytes have passed by now, both ways."""
    number: int = _NUMBER.unpack(path.read_bytes())[0]
    return number


class _Meter:
    """Counts what passes, and says when it may."""

    def __init__(self, bytes_per_s: float, path: Path | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0
        self._lock = threading.Lock()
        self._count = 0
        self._shown: mmap.mmap | bytearray = bytearray(_NUMBER.size)
        if path is not None:
            path.write_bytes(bytes(_NUMBER.size))
            with path.open("r+b") as file:
                self._shown = mmap.mmap(file.fileno(), _NUMBER.size)

    def pass_at(self, count: int) -> float:
        """Take note of bytes that have come; return when the last of them has passed."""
        now_s = time.monotonic()
        with self._lock:
            self._count += count
            _NUMBER.pack_into(self._shown, 0, self._count)
            if self._bytes_per_s:
                self._free_s = max(now_s, self._free_s) + count / self._bytes_per_s
            return max(now_s, self._free_s)


def relay(listen: tuple[str, int], target: tuple[str, int], round_trip_s: float, meter: _Meter) -> None:
    """Serve until the process is ended."""
    server = socket.create_server(listen, backlog=64)
    while True:
        client, _address = server.accept()
        try:
            far = socket.create_connection(target)
        except OSError:
            client.close()
            continue
        for one, other in ((client, far), (far, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Way(one, other, round_trip_s / 2, meter).start()


class _Way:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, target: socket.socket, delay_s: float, meter: _Meter) -> None:
        self._source = source
        self._target = target
        self._delay_s = delay_s
        self._meter = meter
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
            self._pieces.put((self._meter.pass_at(len(data)) + self._delay_s, data))

    def _send(self) -> None:
        with suppress(OSError):
            while True:
                due_s, data = self._pieces.get()
                time.sleep(max(0.0, due_s - time.monotonic()))
                if not data:
                    self._target.shutdown(socket.SHUT_WR)
                    return
                self._target.sendall(data)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def main(listen: str, target: str, round_trip_ms: str, mb_per_s: str = "0", count_file: str = "") -> None:
    """Relay as the command line says."""
    meter = _Meter(float(mb_per_s) * 1e6, Path(count_file) if count_file else None)
    relay(_address(listen), _address(target), float(round_trip_ms) / 1000, meter)


if __name__ == "__main__":
    main(*sys.argv[1:])
