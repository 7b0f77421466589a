"""The agent's way to Redis: operations in, parsed replies out. The only module of the agent that imports redis.

redis-py's own retries stay off: it repeats commands whose reply was lost, blindly. Here a lost connection is an event
(:class:`LinkLostError`); the caller decides what to say again, and may say everything again, since operations are
idempotent. The doorbell has a connection of its own, because it blocks.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, TypeVar

import redis.asyncio as redis
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
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client: redis.Redis | None = None
        self._bell: redis.Redis | None = None
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
        try:
            self._client, self._bell = self._make(self._timeout_s), self._make(None)
        except ValueError as error:
            raise CoordinationError(
                f"the coordination URL cannot be used: {error}", transient=False
            ) from error
        try:
            server = await self._client.info("server")
        except AuthenticationError as error:
            raise CoordinationError(
                f"Redis refuses the password of this session ({error}); "
                "start the pilot again with the server's present password in the coordination URL",
                transient=False,
            ) from error
        except _LOST as error:
            raise LinkLostError(f"Redis does not answer: {error}") from error
        except ResponseError as error:
            raise _translate(error) from error
        self.boot = str(server["run_id"])
        self._flags = knows_flags(str(server["redis_version"]))

    def _make(self, timeout_s: float | None) -> redis.Redis:
        # A local socket has nothing to keep alive, and redis-py no such option for it.
        keepalive = {} if self._url.startswith("unix:") else {"socket_keepalive": True}
        return redis.Redis.from_url(
            self._url,
            protocol=2,
            socket_timeout=timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
            **keepalive,
        )

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation and return its parsed reply.

        Raises:
            LinkLostError: The connection broke; the operation may or may not have happened.
            CoordinationError: The script refused, see :mod:`pilot_protocol.operation`.
        """
        chosen = script(operation.script, flags=self._flags)
        tail = (1, operation.prefix, self.boot, *operation.arguments)
        try:
            reply = await self._execute("EVALSHA", chosen.digest, *tail)
        except NoScriptError:
            reply = await self._execute("EVAL", chosen.source, *tail)
        return operation.parse(reply)

    async def query(self, query: Query[T]) -> T:
        """Run a read and return its parsed reply.

        Raises:
            LinkLostError: The connection broke.
        """
        return query.parse(await self._execute(*query.command))

    async def _execute(self, *command: Any) -> Any:
        if self._client is None:
            raise LinkLostError("there is no connection to Redis")
        try:
            return await self._client.execute_command(*command)
        except _LOST as error:
            raise LinkLostError(f"the connection to Redis broke: {error}") from error
        except NoScriptError:
            raise
        except ResponseError as error:
            raise _translate(error) from error

    async def wait_for_bell(self, door: str) -> str:
        """Block until the doorbell rings and return its tone, ``work`` or ``control``.

        Raises:
            LinkLostError: The connection broke.
        """
        if self._bell is None:
            raise LinkLostError("there is no connection to Redis")
        try:
            reply = await self._bell.execute_command("BLPOP", door, 0)
        except _LOST as error:
            raise LinkLostError(f"the connection to Redis broke: {error}") from error
        except ResponseError as error:
            raise _translate(error) from error
        return str(reply[1].decode())

    async def close(self) -> None:
        """Close both connections; safe to call at any time, also while the doorbell is waited for."""
        clients = (self._client, self._bell)
        self._client = self._bell = None
        for client in clients:
            if client is not None:
                await _close(client)


async def _close(client: redis.Redis) -> None:
    # Waiting for the end of a connection that somebody still reads from can wait for ever.
    if client.connection is not None:
        await client.connection.disconnect(nowait=True)
    await client.aclose()


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
