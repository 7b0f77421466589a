"""A Redis server of the tests' own, with one session whose catalogue they use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from local_redis import LocalRedis
from pilot_data.redis_catalogue import RedisCatalogue
from pilot_protocol.keys import Keys
from pilot_protocol.pilot_ops import open_session
from pilot_protocol.version import PROTOCOL
from pilot_session import coordination_url
from pilot_session.redis_link import RedisLink

SESSION = "s-abcdefghijklmnop"
KEYS = Keys(SESSION)
KEY = bytes(range(100, 132))


class Server:
    """One server and its session.

    Args:
        folder: For its socket and data; the path must be short.
    """

    def __init__(self, folder: Path) -> None:
        self.redis = LocalRedis(folder, "--appendonly", "yes", "--appendfsync", "always")
        self.url = coordination_url.parse(self.redis.url)
        self.client: Any = redis.Redis(unix_socket_path=str(self.redis.socket))

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Server]:
        """Run one; it keeps everything on disk."""
        folder = Path(tempfile.mkdtemp(prefix="pd-"))
        server = cls(folder)
        try:
            yield server
        finally:
            server.client.close()
            server.redis.stop()
            shutil.rmtree(folder)

    def open_session(self) -> None:
        """Begin anew, with an empty session."""
        self.client.flushall()
        link = RedisLink(self.url)
        link.run(open_session(KEYS, PROTOCOL, 30_000))
        link.close()

    def catalogue(self) -> RedisCatalogue:
        """Return the session's catalogue, as one more process would."""
        return RedisCatalogue(self.url, SESSION, KEY)

    def pass_leases(self, keys: Keys = KEYS) -> None:
        """Let all leases of replicas have passed, without waiting for it."""
        name = keys.named("replicas")
        for data_unit, text in self.client.hgetall(name).items():
            records = [record.split(b"|") for record in text.split()]
            passed = [b"|".join([*parts[:3], b"0", *parts[4:]]) for parts in records]
            self.client.hset(name, data_unit, b" ".join(passed))


def flat(client: Any) -> bytes:
    """Return the content of all keys."""
    read = {
        b"hash": client.hgetall,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"stream": client.xrange,
    }
    return repr([(name, read[client.type(name)](name)) for name in client.keys("*")]).encode()
