"""The agent's way to Redis: operations in, parsed replies out. The only module of the agent that imports redis.

redis-py's own retries stay off: it repeats commands whose reply was lost, blindly. Here a lost connection is an event
(:class:`LinkLostError`); the caller decides what to say again, and may say everything again, since operations are
idempotent. The doorbell has a connection of its own, because it blocks. Both are bare connections: a client with its pool
must not be closed while somebody waits for a reply.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any, Callable, TypeVar

from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    InvalidResponse,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from pilot_protocol.errors import CoordinationError
from pilot_protocol.operation import Operation, Query, refusal
from pilot_protocol.scripts import knows_flags, script

T = TypeVar("T")

_LOST = (RedisConnectionError, RedisTimeoutError, InvalidResponse, OSError, asyncio.TimeoutError)
# Replies of a server that will recover: its disk is full, a script blocks it, or it is failing over. redis-py takes the
# code of an error that it has a class for out of the message; before Redis 7, the codes of errors inside a script stand
# in the middle of a longer message.
_RECOVERING = (ReadOnlyError, MasterDownError, ClusterDownError, TryAgainError)
_RECOVERING_CODE = re.compile(
    r"(?:^|: -)(?:MISCONF|READONLY|MASTERDOWN|CLUSTERDOWN|BUSY|TRYAGAIN|NOREPLICAS)\b"
)
_FULL_CODE = re.compile(r"(?:^|: -)OOM\b")


class LinkLostError(CoordinationError):
    """The connection broke or the server cannot serve now; whether the last command was carried out is unknown."""

    transient = True


class ServerFullError(LinkLostError):
    """The server's memory is full, so that it takes no new work; the connection itself is well."""


class RedisLink:
    """One connection for operations and one for the doorbell.

    Args:
        url: With the password.
        timeout_s: How long a reply may take.
        open_way: Awaited before each connection is made; raises as :meth:`connect` when there is no way to the server.
    """

    def __init__(
        self, url: str, timeout_s: float, open_way: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._open_way = open_way
        self._main: Connection | None = None
        self._bell: Connection | None = None
        self._flags = False
        self.boot = ""
        """Run id of the server; another one means that it restarted or failed over."""

    async def connect(self) -> None:
        """Connect, or connect again, and learn which server this is.

        Raises:
            LinkLostError: Nobody answers; try again later.
            CoordinationError: The URL is none, or the server refuses the password: trying again does not help.
        """
        await self.close()
        if self._open_way is not None:
            await self._open_way()
        try:
            self._main, self._bell = self._make(self._timeout_s), self._make(None)
        except ValueError as error:
            raise CoordinationError(
                f"the coordination URL cannot be used: {error}", transient=False
            ) from error
        try:
            # Before anybody waits there: a connection that is still being made does not hear that it is closed.
            await asyncio.wait_for(self._bell.connect(), self._timeout_s)
            facts = _facts(await _ask(self._main, "INFO", "server"))
        except AuthenticationError as error:
            raise _password_refused(error) from error
        except _LOST as error:
            raise LinkLostError(f"no connection to Redis: {error}") from error
        self.boot = facts["run_id"]
        self._flags = knows_flags(facts["redis_version"])

    def _make(self, timeout_s: float | None) -> Connection:
        # A local socket has nothing to keep alive, and redis-py no such option for it.
        keepalive = {} if self._url.startswith("unix:") else {"socket_keepalive": True}
        connection: Connection = ConnectionPool.from_url(
            self._url,
            protocol=2,
            socket_timeout=timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
            **keepalive,
        ).make_connection()
        return connection

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation and return its parsed reply.

        Raises:
            LinkLostError: The connection broke; the operation may or may not have happened.
            CoordinationError: The script refused, see :mod:`pilot_protocol.operation`.
        """
        chosen = script(operation.script, flags=self._flags)
        tail = (1, operation.prefix, self.boot, *operation.arguments)
        connection = _existing(self._main)
        try:
            reply = await _ask(connection, "EVALSHA", chosen.digest, *tail)
        except NoScriptError:
            reply = await _ask(connection, "EVAL", chosen.source, *tail)
        return operation.parse(reply)

    async def query(self, query: Query[T]) -> T:
        """Run a read and return its parsed reply.

        Raises:
            LinkLostError: The connection broke.
        """
        return query.parse(await _ask(_existing(self._main), *query.command))

    async def wait_for_bell(self, door: str) -> str:
        """Block until the doorbell rings and return its tone: ``control``, or ``work`` whatever else it was.

        Raises:
            LinkLostError: The connection broke.
        """
        _, tone = await _ask(_existing(self._bell), "BLPOP", door, 0)
        return "control" if tone == b"control" else "work"

    async def close(self) -> None:
        """Close both connections; safe to call at any time, also while the doorbell is waited for."""
        connections = (self._main, self._bell)
        self._main = self._bell = None
        for connection in connections:
            if connection is not None:
                # Whoever waits for a reply keeps the connection from ending: nobody must wait for that.
                await connection.disconnect(nowait=True)


def _existing(connection: Connection | None) -> Connection:
    if connection is None:
        raise LinkLostError("there is no connection to Redis")
    return connection


async def _ask(connection: Connection, *command: Any) -> Any:
    try:
        await connection.send_command(*command)
        return await connection.read_response()
    except AuthenticationError as error:
        raise _password_refused(error) from error
    except _LOST as error:
        raise LinkLostError(f"no connection to Redis: {error}") from error
    except NoScriptError:
        raise
    except ResponseError as error:
        raise _translate(error) from error


def _facts(info: bytes) -> dict[str, str]:
    """Read the reply to INFO."""
    lines = info.decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def _password_refused(error: AuthenticationError) -> CoordinationError:
    return CoordinationError(
        f"Redis refuses the password of this session ({error}); "
        "start the pilot again with the server's present password in the coordination URL",
        transient=False,
    )


def _translate(error: ResponseError) -> CoordinationError:
    message = str(error)
    known = refusal(message)
    if known is not None:
        return known
    if isinstance(error, OutOfMemoryError) or _FULL_CODE.search(message):
        return ServerFullError(f"Redis takes no new work, its memory is full: {message}")
    if isinstance(error, _RECOVERING) or _RECOVERING_CODE.search(message):
        return LinkLostError(f"Redis cannot serve now: {message}")
    return CoordinationError(f"Redis answers: {message}", transient=False)
