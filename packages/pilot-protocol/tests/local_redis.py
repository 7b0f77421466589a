"""A Redis server for tests, on a socket in a folder, which can be killed and started again."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from redis_servers import server_program, wait_until_ready

LIMIT_S = 20.0


class LocalRedis:
    """One server; its data is kept as snapshots only, so that a restart can forget.

    Args:
        folder: For its socket and data; the path must be short.
        *options: Further settings, as on the command line.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self.socket = folder / "r.sock"
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        """Start the server and wait until it serves."""
        settings = [
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--dir",
            str(self._folder),
            "--save",
            "3600",
            "1000000",
        ]
        self._process = subprocess.Popen(
            [server_program(), *settings, *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_until_ready(self._process)

    def stop(self) -> None:
        """Kill the server."""
        self._process.kill()
        self._process.communicate(timeout=LIMIT_S)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Have the server answer nobody."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def command(self, *words: Any) -> Any:
        """Run a command on a connection of its own."""
        client = redis.Redis(unix_socket_path=str(self.socket))
        try:
            return client.execute_command(*words)
        finally:
            client.close()

    def close_connections(self) -> None:
        """Break every connection of others."""
        self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
