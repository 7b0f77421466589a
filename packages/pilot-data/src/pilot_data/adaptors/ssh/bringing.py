"""Brings files, links and empty folders to a host, many at once; how a file's content comes is said elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from pilot_data.entries import Item, Outcome
from pilot_data.errors import STORAGE_WIDE, TransferError
from pilot_data.job import Job

from . import pipeline
from .arriving import place
from .folders import Folders
from .pipeline import Task
from .session import Session, encoded


class Bringing(ABC):
    """Files on their way to a host.

    Args:
        session: Of the host.
        job: What to keep to.

    Attributes:
        sends: Whether contents pass our own connection, which then bounds how many are on their way.
    """

    sends: ClassVar[bool]

    def __init__(self, session: Session, job: Job) -> None:
        self._session = session
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
            (pipeline.Job(told(item, self._put), item.entry.size if self.sends else 0) for item in items),
            hashing=self._job.verifies,
        )

    async def _put(self, item: Item) -> str:
        self._job.check()
        if item.entry.has_content:
            return await self._bring(item)
        await put_other(self._session, self._folders, item)
        return ""

    @abstractmethod
    async def _bring(self, item: Item) -> str:
        """Bring a file, and return its SHA-256; empty when none was asked for."""


async def told(item: Item, bring: Callable[[Item], Task[str]]) -> Outcome:
    """Bring a file, and tell its error in its outcome.

    Args:
        item: The file.
        bring: Does it, and returns the file's SHA-256; empty when none was asked for.

    Raises:
        TransferError: The storage as a whole fails.
    """
    try:
        return Outcome(item, await bring(item))
    except STORAGE_WIDE:
        raise
    except TransferError as error:
        return Outcome(item, error=error)


async def put_other(session: Session, folders: Folders, item: Item) -> None:
    """Make a symbolic link or an empty folder, in place of a file or link of that name.

    Args:
        session: Of the host.
        folders: Makes those above it.
        item: What is to be made.

    Raises:
        TransferError: The server refuses.
    """
    if item.entry.is_folder:
        await folders.need(item.target)
        return
    path, partial = session.path(item.target), session.path(item.partial)
    await folders.need_above(item.target)
    await session.sftp.remove(partial)
    await session.ok(session.sftp.make_link(partial, encoded(item.entry.link)), "make the link", partial)
    await place(session, partial, path)
