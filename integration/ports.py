"""Ports of the loopback interface."""

from __future__ import annotations

import socket
from contextlib import suppress


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Return whether a server could listen on a port."""
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False
