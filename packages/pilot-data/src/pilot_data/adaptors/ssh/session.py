"""What a storage has open at its host: the SFTP server, and a program that hashes files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pilot_data.errors import MissingFileError, NoSpaceError, TransferError
from pilot_data.local_files import below

from . import sftp_wire as wire
from .connection import Connection
from .pipeline import Job, Pipeline, Task
from .problems import code_of, refusal
from .remote_hashes import RemoteHashes
from .replies import Reply
from .sftp import Sftp
from .sftp_wire import Kind, Status
from .starting_hashes import StartingHashes

T = TypeVar("T")


class Session:
    """An open storage.

    Args:
        connection: To its host.
        root: The path that it was opened with; may begin with ``~``.

    Attributes:
        sftp: The SFTP server.
        root: Absolute.

    Raises:
        TransferError: The host has no SFTP, or no such home.
    """

    def __init__(self, connection: Connection, root: str) -> None:
        self.connection = connection
        self.sftp = _greeted(connection)
        self._starting: StartingHashes | None = None
        self._hashes: RemoteHashes | None = None
        try:
            self.root = self.absolute(root)
        except BaseException:
            self.sftp.end()
            raise

    @property
    def host(self) -> str:
        """How the host is called in errors."""
        return self.connection.login.name

    def path(self, path: str) -> bytes:
        """Return the absolute path of a file below the root.

        Args:
            path: Below the root; empty for the root itself.

        Raises:
            TransferError: It leads elsewhere.
        """
        return encoded(below(self.root, path) if path else self.root)

    def shown(self, path: bytes) -> str:
        """Return a path as errors show it."""
        return f"{self.host}:{decoded(path)}"

    def hashes(self) -> RemoteHashes | None:
        """Return a program that hashes files there, started if need be; None where none may be run."""
        if self._hashes is None:
            self._hashes = self._started().found()
        return self._hashes

    @property
    def has_hashes(self) -> bool:
        """Whether `hashes` has not to wait."""
        return self._starting is not None and self._starting.is_settled

    @property
    def open_requests(self) -> int:
        """How many answers of that program are still to come."""
        return self._hashes.open_requests if self._hashes is not None else 0

    def flush(self) -> None:
        """Send what that program is to be asked."""
        if self._hashes is not None:
            self._hashes.flush()

    def receive(self, *, wait: bool) -> list[Reply]:
        """Return the answers of that program that have come; with ``wait``, at least one."""
        return self._hashes.receive(wait=wait) if self._hashes is not None else []

    def run(self, jobs: Iterable[Job[T]], *, hashing: bool = False) -> Iterator[T]:
        """Run tasks side by side; see `Pipeline.run`. When it does not come to its end, the session must be closed.

        Args:
            jobs: The tasks.
            hashing: Whether they will ask for hashes, so that what answers is started beside them.
        """
        if hashing:
            self._started()
        return Pipeline[T](self.sftp, self).run(jobs)

    def run_one(self, task: Task[T]) -> T:
        """Run one task, and return what it returns."""
        (result,) = self.run([Job(task)])
        return result

    async def ok(self, reply: Reply, what: str, path: bytes) -> Reply:
        """Await a reply that tells of no error.

        Args:
            reply: To a request.
            what: What was asked for, for example ``write``.
            path: Of which file.

        Raises:
            TransferError: It tells of one.
        """
        await reply
        if code_of(reply) != Status.OK:
            raise refusal(reply, f"cannot {what} {self.shown(path)}")
        return reply

    async def handle(self, reply: Reply, what: str, path: bytes) -> bytes:
        """Await the handle of an opened file; see `ok`."""
        return wire.Reader((await self.ok(reply, what, path)).body).string()

    async def attributes(self, reply: Reply, what: str, path: bytes) -> wire.Attributes:
        """Await the attributes of a file; see `ok`."""
        return wire.Reader((await self.ok(reply, what, path)).body).attributes()

    async def why_not_written(self, reply: Reply, path: bytes, count: int) -> TransferError:
        """Return why a file could not be written; a server has one word for a full disk and for other failures.

        Args:
            reply: The server's.
            path: Of the file.
            count: Bytes that were to be written.
        """
        what = f"cannot write {self.shown(path)}"
        if code_of(reply) != Status.FAILURE or not self.sftp.tells_room:
            return refusal(reply, what)
        full = await self.no_room(path, count)
        return full or TransferError(f"{refusal(reply, what)}; a quota may be used up, or the disk fail")

    async def no_room(self, path: bytes, count: int) -> NoSpaceError | None:
        """Return an error if a file has no room; None where it has, or the server does not tell.

        Args:
            path: Of the file.
            count: Bytes that were to be written.
        """
        if not self.sftp.tells_room:
            return None
        answer = await self.sftp.room(os.path.dirname(path) or b"/")
        if answer.kind != Kind.EXTENDED_REPLY:
            return None
        what = f"cannot write {self.shown(path)}"
        room = wire.room(answer.body)
        if room.free_bytes < count:
            return NoSpaceError(f"{what}: the file system is full, {room.free_bytes} bytes are free")
        if room.free_files == 0:
            return NoSpaceError(f"{what}: the file system can hold no more files")
        return None

    def close(self) -> None:
        """End what runs at the host for this storage, and wait until nothing more happens there."""
        if self._starting is not None:
            self._starting.close()
        self.sftp.end()

    def _started(self) -> StartingHashes:
        if self._starting is None:
            self._starting = StartingHashes(self.connection)
        return self._starting

    def absolute(self, root: str) -> str:
        """Return a location's path with what ``~`` means there. Only when no answer is waited for.

        Raises:
            TransferError: There is no such home.
        """
        if not root.startswith("~"):
            return root
        user, _, rest = root[1:].partition("/")
        if user and not self.sftp.expands:
            raise TransferError(
                f"{self.host}: its SFTP server does not know the home of {user}; name an absolute path"
            )
        reply = self.sftp.answer(
            self.sftp.expanded(encoded(f"~{user}")) if user else self.sftp.absolute(b".")
        )
        if reply.kind != Kind.NAME:
            raise MissingFileError(f"{self.host}: there is no home ~{user}")
        home = next(iter(wire.names(reply.body)))[0]
        return f"{decoded(home).rstrip('/')}/{rest}".rstrip("/") or "/"


def _greeted(connection: Connection) -> Sftp:
    channel = connection.sftp()
    try:
        return Sftp(channel, connection.login.name)
    except BaseException:
        channel.close()
        raise


def encoded(path: str) -> bytes:
    """Return a path as servers have it."""
    return path.encode("utf-8", "surrogateescape")


def decoded(path: bytes) -> str:
    """Return a server's path as text; bytes that are no UTF-8 as surrogates (PEP 383)."""
    return path.decode("utf-8", "surrogateescape")
