"""A file that arrives at a host under a temporary name, and is renamed when it is whole and verified."""

from __future__ import annotations

from collections import deque
from types import TracebackType

from pilot_data.entries import Item
from pilot_data.errors import STORAGE_WIDE, ChecksumError, TransferError
from pilot_data.job import Job

from . import sftp_wire as wire
from .hashing import checksum
from .problems import checked, code_of
from .remote_hashes import hash_in
from .replies import Reply
from .session import Session
from .sftp_wire import Kind, Status

LARGE = 1 << 20
"""Bytes from which on it is worth to look for what an earlier attempt has left, and to hash a file while it grows."""

_OURS_ALONE = 0o600


class Arriving:
    """A file on its way to a host.

    Leaving its context leaves what has arrived for another attempt, unless the error is one of this file.

    Args:
        session: Of the host.
        item: The file.
        job: Says whether contents are verified, and whether files are flushed to the disk.
        follows: Whether a large file may be hashed while it grows; what is asked for then waits until it is whole.

    Attributes:
        partial: Its path until it is whole.
        handle: Of the open file.
        arrived: Bytes that an earlier attempt has left; writing may go on behind them.
    """

    def __init__(self, session: Session, item: Item, job: Job, *, follows: bool = True) -> None:
        self.path = session.path(item.target)
        self.partial = session.path(item.partial)
        self.handle = b""
        self.arrived = 0
        self._session = session
        self._sftp = session.sftp
        self._item = item
        self._job = job
        self._follows = follows
        self._growing: Reply | None = None
        self._unconfirmed: deque[tuple[Reply, int]] = deque()

    async def __aenter__(self) -> Arriving:  # noqa: PYI034 - typing.Self exists since Python 3.11 only
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TransferError) and not isinstance(error, STORAGE_WIDE):
            await self.discard()

    async def open(self) -> None:
        """Make the file, or open what is left of an earlier attempt.

        Raises:
            TransferError: The server refuses.
        """
        # Until the file is whole it is nobody else's; where its mode is not known, it is that of any new file.
        mode = _OURS_ALONE if self._item.entry.mode else None
        reply = await self._sftp.open(self.partial, wire.WRITING | wire.CREATING, mode)
        if code_of(reply) != Status.OK:
            raise await self._session.why_not_written(reply, self.path, 1)
        self.handle = wire.Reader(reply.body).string()
        if self._item.entry.size < LARGE:
            return
        found = await self._session.attributes(self._sftp.fstat(self.handle), "read", self.partial)
        self.arrived = min(found.size or 0, self._item.entry.size)
        hashes = self._session.hashes() if self._job.verifies and self._follows else None
        if hashes is not None and hashes.follows:
            self._growing = hashes.ask(self.partial, self._item.entry.size)

    def write(self, data: wire.Buffer, offset: int) -> None:
        """Ask for bytes to be written at their place; see `confirmed`."""
        self._unconfirmed.append((self._sftp.write(self.handle, offset, data), len(data)))

    @property
    def unconfirmed(self) -> int:
        """How many requests of `write` are still to be confirmed."""
        return len(self._unconfirmed)

    async def confirmed(self, open_requests: int = 0) -> None:
        """Await that bytes are written, until no more requests than so many are open.

        Raises:
            NoSpaceError: The disk is full.
            TransferError: The server refuses.
        """
        while len(self._unconfirmed) > open_requests:
            reply, count = self._unconfirmed.popleft()
            await self.written(reply, count)
            self._job.moved(count)

    async def written(self, reply: Reply, count: int) -> None:
        """Await that bytes are written.

        Raises:
            NoSpaceError: The disk is full.
            TransferError: The server refuses.
        """
        if code_of(await reply) != Status.OK:
            raise await self._session.why_not_written(reply, self.path, count)

    async def finish(self, expected: str) -> str:
        """Verify the file and give it its name, mode and time.

        Args:
            expected: SHA-256 that it must have; empty when only the size is known.

        Returns:
            Its SHA-256; empty when the job asks for none.

        Raises:
            ChecksumError: It has another content.
            TransferError: The server refuses.
        """
        entry = self._item.entry
        if entry.size >= LARGE:  # whose size tells another attempt what is there
            await self.confirmed()
        facts = wire.attributes(size=entry.size, mode=entry.mode or None, mtime_ns=entry.mtime_ns)
        asked = [self._sftp.fsetstat(self.handle, facts)]
        if self._job.durable and self._sftp.syncs:
            asked.append(self._sftp.sync(self.handle))
        asked.append(self._sftp.close_handle(self.handle))
        self.handle = b""
        await self.confirmed()
        for reply in asked:
            await self._session.ok(reply, "write", self.path)
        if self._job.verifies and not await self._is(self.partial, expected, self._growing):
            await self._brought_by_another(expected)
            return expected
        if await self._is_placed():
            return expected
        await self._brought_by_another(expected)
        return expected

    async def _is_placed(self) -> bool:
        """Give the file its name; return False when it was no longer there, or not this one.

        Since it was verified, another process may have thrown it away and begun it anew: then that one has the name now.
        Its maker goes on writing it; we must not tell that it stands.

        Raises:
            TransferError: The server refuses.
        """
        renaming = self._sftp.rename(self.partial, self.path)
        looking = self._sftp.stat(self.path)  # leaves together with it
        renamed = await _over(self._session, renaming, self.partial, self.path)
        if code_of(renamed) == Status.NO_SUCH_FILE:
            return False
        checked(renamed, f"cannot write {self._session.shown(self.path)}")
        return self._has_all(await (looking if renamed is renaming else self._sftp.stat(self.path)))

    def _has_all(self, found: Reply) -> bool:
        """Return whether a file that was looked at has all bytes."""
        return found.kind == Kind.ATTRS and wire.Reader(found.body).attributes().size == self._item.entry.size

    async def discard(self) -> None:
        """Remove what has arrived."""
        if self.handle:
            await self._sftp.close_handle(self.handle)
            self.handle = b""
        await self._sftp.remove(self.partial)

    async def _is(self, path: bytes, expected: str, told: Reply | None) -> bool:
        """Return whether a file has this content; what was told of it while it grew is looked at first."""
        if told is not None and hash_in(await told) == expected:
            return True
        return await checksum(self._session, path, self._job) == expected

    async def _brought_by_another(self, expected: str) -> None:
        """Go on if the file stands under its name: somebody else brought the same one, and has renamed it.

        Raises:
            ChecksumError: It does not; trying again brings it.
        """
        stands = self._has_all(await self._sftp.stat(self.path))
        if stands and self._job.verifies:
            stands = await checksum(self._session, self.path, self._job) == expected
        if not stands:
            raise ChecksumError(
                f"{self._session.shown(self.path)} did not arrive with the SHA-256 {expected or 'of its source'}; it was "
                "not kept"
            )


async def place(session: Session, partial: bytes, path: bytes) -> None:
    """Rename a file or link to its final name, over what has it.

    Raises:
        TransferError: The server refuses.
    """
    renamed = await _over(session, session.sftp.rename(partial, path), partial, path)
    checked(renamed, f"cannot write {session.shown(path)}")


async def _over(session: Session, renaming: Reply, partial: bytes, path: bytes) -> Reply:
    """Await a rename that replaces what has the name; return its last answer."""
    if code_of(await renaming) != Status.FAILURE or session.sftp.renames_over:
        return renaming
    # The rename of SFTP's version 3 does not replace files: for a moment there is none.
    await session.sftp.remove(path)
    return await session.sftp.rename(partial, path)
