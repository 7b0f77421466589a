"""Copies files from one folder of a host to another, by the host's own SFTP server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pilot_data.entries import Item, Outcome
from pilot_data.job import Job
from pilot_data.local_files import below

from . import pipeline
from . import sftp_wire as wire
from .arriving import Arriving
from .folders import Folders
from .hashing import checksum
from .putting import put_other, told
from .session import Session, encoded


class Copying:
    """Files on their way within a host.

    Args:
        session: Of the host.
        source: Absolute path of the folder that the items' entries are below.
        job: What to keep to.
    """

    def __init__(self, session: Session, source: str, job: Job) -> None:
        self._session = session
        self._source = source
        self._job = job
        self._folders = Folders(session)

    def run(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Yield how it went with each item, in any order.

        Raises:
            TransferError: The storage as a whole fails.
        """
        self._job.check()
        self._folders.make([item.target for item in items])
        return self._session.run(
            (pipeline.Job(told(item, self._copy)) for item in items), hashing=self._job.verifies
        )

    async def _copy(self, item: Item) -> str:
        self._job.check()
        if not item.entry.has_content:
            await put_other(self._session, self._folders, item)
            return ""
        session, sftp = self._session, self._session.sftp
        path = encoded(below(self._source, item.entry.path))
        handle = await session.handle(sftp.open(path, wire.READING), "read", path)
        try:
            async with Arriving(session, item, self._job) as arriving:
                await self._folders.need_above(item.target)
                await arriving.open()
                await arriving.written(sftp.copy(handle, arriving.handle), item.entry.size)
                self._job.moved(item.entry.size)
                known = item.entry.checksum if self._job.verifies else ""
                if self._job.verifies and not known:
                    known = await checksum(session, path, self._job)
                return await arriving.finish(known)
        finally:
            sftp.close_handle(handle)
