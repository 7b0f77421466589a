"""Copies files from one folder of a host to another, by the host's own SFTP server."""

from __future__ import annotations

from pilot_data.entries import Item
from pilot_data.job import Job
from pilot_data.local_files import below

from . import sftp_wire as wire
from .arriving import Arriving
from .bringing import Bringing
from .hashing import checksum
from .session import Session, encoded


class Copying(Bringing):
    """Files on their way within a host.

    Args:
        session: Of the host.
        source: Absolute path of the folder that the items' entries are below.
        job: What to keep to.
    """

    sends = False

    def __init__(self, session: Session, source: str, job: Job) -> None:
        super().__init__(session, job)
        self._source = source

    async def _bring(self, item: Item) -> str:
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
