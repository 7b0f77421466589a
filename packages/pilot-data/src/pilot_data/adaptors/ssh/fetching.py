"""Asks for the content of a host's file, many blocks ahead of what has come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pilot_data.entries import Entry
from pilot_data.errors import ChangedSourceError
from pilot_data.job import Job
from pilot_data.landing import Landing

from . import sftp_wire as wire
from .problems import code_of, refusal
from .replies import Reply
from .session import Session
from .sftp_wire import Buffer, Kind, Status
from .streams import WriteBehind

LARGE = 1 << 20
_IN_FLIGHT = 64
Write = Callable[[Buffer, int], None]


async def fetch(session: Session, landing: Landing, entry: Entry, handle: bytes, job: Job) -> Reply:
    """Fetch a file from where an earlier attempt has stopped.

    Args:
        session: Of the host.
        landing: Where it goes.
        entry: The file.
        handle: Of the open file.
        job: What to keep to.

    Returns:
        The answer to what the file was after it was read; to be awaited.

    Raises:
        TransferError: It cannot be read, or not be written here.
    """
    fetching = _Fetching(session, entry, handle, job)
    if entry.size < LARGE or not session.connection.encrypts_here:
        return await fetching.run(landing.write, landing.arrived)
    behind = WriteBehind(landing)
    try:
        still = await fetching.run(behind.write, landing.arrived)
        behind.finish()
        return still
    finally:
        behind.stop()


class _Fetching:
    """The content of one file.

    Args:
        session: Of the host.
        entry: The file.
        handle: Of the open file.
        job: What to keep to.
    """

    def __init__(self, session: Session, entry: Entry, handle: bytes, job: Job) -> None:
        self._session = session
        self._entry = entry
        self._handle = handle
        self._job = job

    async def run(self, write: Write, start: int) -> Reply:
        """Fetch from a place to the end."""
        sftp, size, block = self._session.sftp, self._entry.size, self._session.sftp.limits.read
        asked: deque[tuple[int, int, Reply]] = deque()
        offset = start
        while offset < size:
            count = min(block, size - offset)
            asked.append((offset, count, sftp.read(self._handle, offset, count)))
            offset += count
            if len(asked) >= _IN_FLIGHT:  # then half of them, so that requests leave together
                await self._taken(asked, _IN_FLIGHT // 2, write)
        still = sftp.fstat(self._handle)
        await self._taken(asked, 0, write)
        return still

    async def _taken(self, asked: deque[tuple[int, int, Reply]], left: int, write: Write) -> None:
        while len(asked) > left:
            await self._take(*asked.popleft(), write)

    async def _take(self, offset: int, count: int, reply: Reply, write: Write) -> None:
        """Await a block and write it; a server may answer with a part of it, and is asked for the rest then."""
        while True:
            data = await self._data(reply)
            write(data, offset)
            self._job.moved(len(data))
            if len(data) >= count:
                return
            offset, count = offset + len(data), count - len(data)
            reply = self._session.sftp.read(self._handle, offset, count)

    async def _data(self, reply: Reply) -> Buffer:
        await reply
        if reply.kind == Kind.DATA:
            return wire.data(reply.body)
        shown = self._session.shown(self._session.path(self._entry.path))
        if code_of(reply) == Status.EOF:
            raise ChangedSourceError(
                f"{shown} is shorter than it was; move it when nothing writes to it any more"
            )
        raise refusal(reply, f"cannot read {shown}")
