"""A Redis server for tests that kill it, start it again and set it back: a process, its port, its folder."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from redis_servers import server_program, wait_until_ready

_PATIENCE_S = 10.0


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class RedisProcess:
    """One server.

    Args:
        folder: Where it keeps its files; made when absent.
        password: What clients must say.
        appends: Whether every write is on disk before it is answered. Without, only `save` keeps anything.
        program: Of the server; the first one that is found on this machine by default.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str = "",
        appends: bool = False,
        program: Path | None = None,
    ) -> None:
        self._program = program or server_program()
        self.folder = folder
        self.port = unused_port()
        self._password = password
        self._appends = appends
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """With the password."""
        return self.url_at(self.port)

    @property
    def socket(self) -> Path:
        """Its local socket."""
        return self.folder / "redis.sock"

    def url_at(self, port: int) -> str:
        """The URL for somebody who comes by way of another port."""
        user = f":{self._password}@" if self._password else ""
        return f"redis://{user}127.0.0.1:{port}"

    def start(self) -> None:
        """Start, with what the folder holds; returns when it serves."""
        self.folder.mkdir(exist_ok=True)
        settings = self.folder / "redis.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"unixsocket {self.socket}",
            f"dir {self.folder}",
            'save ""',
            f"appendonly {'yes' if self._appends else 'no'}",
            "appendfsync always",
            *([f"requirepass {self._password}"] if self._password else []),
        ]
        settings.write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen(
            [self._program, settings], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        wait_until_ready(self._process)

    def client(self) -> redis.Redis:
        """Return a connection for the test itself."""
        return redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0))

    def save(self) -> None:
        """Keep what the server knows now for the next start."""
        with self.client() as client:
            client.save()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order, if it runs."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.communicate(timeout=_PATIENCE_S)


@contextmanager
def running_redis(folder: Path, *, password: str = "", program: Path | None = None) -> Iterator[RedisProcess]:
    server = RedisProcess(folder, password=password, program=program)
    server.start()
    try:
        yield server
    finally:
        server.stop()
