"""Brings local files, links and empty folders to a host, many at once."""

from __future__ import annotations

from pilot_data.entries import Item
from pilot_data.job import Job
from pilot_data.source_file import SourceFile

from .arriving import Arriving
from .bringing import Bringing
from .sending import send
from .session import Session


class Putting(Bringing):
    """Files on their way from this machine to a host.

    Args:
        session: Of the host.
        root: Local folder, absolute.
        job: What to keep to.
    """

    sends = True

    def __init__(self, session: Session, root: str, job: Job) -> None:
        super().__init__(session, job)
        self._root = root

    async def _bring(self, item: Item) -> str:
        with SourceFile(self._root, item, self._job) as source:
            arriving = Arriving(self._session, item, self._job)
            await self._folders.need_above(item.target)
            await arriving.open()
            async with arriving:
                await send(self._session, source, arriving)
                return await arriving.finish(source.finish())
