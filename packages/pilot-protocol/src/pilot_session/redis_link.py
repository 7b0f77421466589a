"""The synchronous way to Redis: operations in, parsed replies out. The only module of this package that imports redis.

redis-py repeats commands when it likes; that is switched off. Here a broken connection is made again and the action is
said again, as often as patience lasts: every operation may be said twice. A server with another run id may have lost its
last second, so before anything else is said to it, it is told again what it may have forgotten.

The invariant: no message, log record or representation holds the password.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry

from pilot_protocol.errors import CoordinationError
from pilot_protocol.operation import Operation, Query
from pilot_protocol.scripts import script

from .coordination_url import CoordinationUrl
from .redis_refusals import refused, refused_login, unintelligible, unreachable
from .server_facts import ServerFacts

logger = logging.getLogger(__name__)

T = TypeVar("T")
Say = Callable[[Operation[Any]], Any]
"""Runs an operation."""

CONNECT_S = 5.0
REPLY_S = 10.0
PATIENCE_S = 60.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

_LOST = (RedisConnectionError, RedisTimeoutError, OSError)
_REFUSED_LOGIN = (AuthenticationError, AuthorizationError)
_FIRST_WORDS: dict[type[ResponseError], str] = {
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    NoPermissionError: "NOPERM",
    MasterDownError: "MASTERDOWN",
    ClusterDownError: "CLUSTERDOWN",
    MovedError: "MOVED",
}
"""redis-py takes the first word off the replies that it has a class for."""


@dataclass(frozen=True)
class _Server:
    """One connection and the server at its other end."""

    client: redis.Redis
    facts: ServerFacts

    def command(self, *words: Any) -> Any:
        return self.client.execute_command(*words)

    def run(self, operation: Operation[T]) -> T:
        chosen = script(operation.script, flags=self.facts.knows_flags)
        words = (1, operation.prefix, self.facts.boot, *operation.arguments)
        try:
            return operation.parse(self.command("EVALSHA", chosen.digest, *words))
        except NoScriptError:  # never seen, or the server has been restarted
            return operation.parse(self.command("EVAL", chosen.source, *words))


class RedisLink:
    """One connection, made when it is first needed and again when it breaks. May be used by several threads.

    Args:
        url: Of the server, with the password.
        reply_s: How long a reply may take, in seconds; a blocking read needs more than it blocks.
        patience_s: For how many seconds a broken connection is tried again; the first one is tried once.
        connect_s: How long connecting may take, in seconds.
        restore: Called with a way to run operations when the server has another run id than before.
    """

    def __init__(
        self,
        url: CoordinationUrl,
        *,
        reply_s: float = REPLY_S,
        patience_s: float = PATIENCE_S,
        connect_s: float = CONNECT_S,
        restore: Callable[[Say], None] | None = None,
    ) -> None:
        self.place = url.public()
        """The server's URL without credentials."""
        self._url = url
        self._reply_s = reply_s
        self._patience_s = patience_s
        self._connect_s = connect_s
        self._restore = restore
        self._lock = threading.RLock()
        self._server: _Server | None = None
        self._boot = ""
        self._closed = threading.Event()

    def __repr__(self) -> str:
        return f"<RedisLink {self.place}>"

    @property
    def facts(self) -> ServerFacts:
        """What the server says of itself; connects when there is no connection.

        Raises:
            CoordinationError: As for `run`.
        """
        return self._carry_out(lambda server: server.facts)

    def run(self, operation: Operation[T]) -> T:
        """Run an operation and return its parsed reply.

        Raises:
            CoordinationError: The server cannot be reached, refuses, or the script does, see
                :mod:`pilot_protocol.operation`.
        """
        return self._carry_out(lambda server: server.run(operation))

    def query(self, query: Query[T]) -> T:
        """Run a read and return its parsed reply.

        Raises:
            CoordinationError: The server cannot be reached or refuses.
        """
        return query.parse(self._carry_out(lambda server: server.command(*query.command)))

    def restore(self) -> None:
        """Tell the server again what it has forgotten, though it has not been restarted.

        Raises:
            CoordinationError: As for `run`.
        """
        restore = self._restore
        if restore is not None:
            self._carry_out(lambda server: restore(server.run))

    def close(self) -> None:
        """Close the connection for good. A thread that waits for a reply gets a CoordinationError."""
        self._closed.set()
        server = self._server
        if server is not None:
            _disconnect(server.client)

    def _carry_out(self, action: Callable[[_Server], T]) -> T:
        give_up = time.monotonic() + self._patience_s
        pause = FIRST_PAUSE_S
        while True:
            try:
                return self._try(action)
            except _LOST as error:
                if not self._boot or time.monotonic() + pause > give_up or self._closed.is_set():
                    raise self._lost(error) from error
            self._closed.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _try(self, action: Callable[[_Server], T]) -> T:
        """Carry out an action once. After anything but a reply, the connection is not used again."""
        with self._lock:
            try:
                return action(self._connected())
            except NoScriptError:
                raise
            except _REFUSED_LOGIN as error:
                self._drop()
                raise refused_login(self.place, str(error)) from error
            except ResponseError as error:
                raise refused(self.place, f"{_FIRST_WORDS.get(type(error), '')} {error}".lstrip()) from error
            except CoordinationError:
                raise
            except (
                BaseException
            ) as error:  # Ctrl-C as well: a reply may be on its way that nobody would expect
                self._drop()
                known = self._translated(error)
                if known is None:
                    raise
                raise known from None

    def _translated(self, error: BaseException) -> CoordinationError | None:
        """Return what an error means that is no lost connection."""
        if self._closed.is_set() and isinstance(error, Exception):
            return self._lost(error)  # redis-py stumbles when it is closed while it reads
        if isinstance(error, RedisError) and not isinstance(error, _LOST):
            return unintelligible(self.place, str(error))
        return None

    def _lost(self, error: Exception) -> CoordinationError:
        if self._closed.is_set():
            return CoordinationError(f"the session at {self.place} was closed", transient=False)
        return unreachable(self.place, str(error))

    def _connected(self) -> _Server:
        if self._closed.is_set():
            raise RedisConnectionError("closed")
        if self._server is None:
            self._server = self._connect()
        return self._server

    def _connect(self) -> _Server:
        client = redis.Redis.from_url(
            self._url.full(),
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=self._connect_s,
            socket_timeout=self._reply_s,
            single_connection_client=True,
            **({} if self._url.scheme == "unix" else {"socket_keepalive": True}),
        )
        try:
            return self._greeted(client)
        except BaseException:
            _disconnect(client)
            raise

    def _greeted(self, client: redis.Redis) -> _Server:
        info = cast("Mapping[str, Any]", client.info())  # its type tells of redis-py's asyncio twin, too
        server = _Server(client, ServerFacts.from_info(info))
        server.facts.check(self.place)
        if self._restore is not None and self._boot not in {"", server.facts.boot}:
            logger.info("server.restarted place=%s", self.place, extra={"action": "server.restarted"})
            self._restore(server.run)
        self._boot = server.facts.boot
        return server

    def _drop(self) -> None:
        if self._server is not None:
            _disconnect(self._server.client)
            self._server = None


def _disconnect(client: redis.Redis) -> None:
    try:
        if client.connection is not None:
            client.connection.disconnect()
    except (RedisError, OSError) as error:
        logger.debug("connection.close_failed %s", error, extra={"action": "connection.close_failed"})
