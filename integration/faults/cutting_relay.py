"""A TCP relay in front of a server that can lose what passes, cut it off, or turn everybody away."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_READ_BYTES = 65536


class CuttingRelay:
    """Listens on a port of its own and passes bytes to a server.

    Args:
        target: The server's port.
        loss: Part of the pieces that are lost. With a lost piece the connection is cut, as TCP does not lose bytes alone.
        seed: Of the choice which ones.
    """

    def __init__(self, target: int, *, loss: float = 0.0, seed: int = 0) -> None:
        self.cuts = 0
        self._target = target
        self._loss = loss
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._is_open = True
        self._left = 0
        self._then: Callable[[], None] | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections; new ones pass."""
        for pair in list(self._pairs):
            self._cut(pair)

    def turn_away(self) -> None:
        """Cut all connections, and every new one at once: the server is away."""
        self._is_open = False
        self.cut()

    def let_pass(self) -> None:
        """Let connections pass again."""
        self._is_open = True

    def once_passed(self, count: int, act: Callable[[], None]) -> None:
        """Do something as soon as so many more bytes have passed, in both directions together."""
        with self._lock:
            self._left, self._then = count, act

    def close(self) -> None:
        """End."""
        self.turn_away()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        # Ends when the listener is closed.
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        try:
            if not self._is_open:
                raise ConnectionRefusedError
            far = socket.create_connection(("127.0.0.1", self._target))
        except ConnectionRefusedError:
            near.close()
            return
        pair = (near, far)
        self._pairs.add(pair)
        for source, sink in (pair, pair[::-1]):
            threading.Thread(target=self._pump, args=(pair, source, sink), daemon=True).start()

    def _pump(
        self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket
    ) -> None:
        with suppress(OSError):
            while data := source.recv(_READ_BYTES):
                if self._loses():
                    break
                sink.sendall(data)
                self._passed(len(data))
        self._cut(pair)

    def _passed(self, count: int) -> None:
        with self._lock:
            self._left -= count
            act = self._then if self._left <= 0 else None
            if act is not None:
                self._then = None
        if act is not None:
            act()

    def _loses(self) -> bool:
        with self._lock:
            if self._random.random() >= self._loss:
                return False
            self.cuts += 1
            return True

    def _cut(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.discard(pair)
        for end in pair:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
