"""Folders of a Globus collection. Local files come and go through this machine's own collection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import ClassVar

from pilot_data.entries import Entry, Item, Outcome
from pilot_data.errors import MissingFileError, TransferError
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.storage import Access, Capabilities, Storage

from . import checking, moves, removal
from .config import settings
from .connection import Connection, Pauses
from .folders import Folders
from .listing import listed
from .local_collection import local_collection
from .tasks import Tasks

_COLLECTION = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_ITEMS_PER_TASK = 10_000
"""Keeps what is sent to Globus in one call to a few megabytes."""


class GlobusStorage(Storage):
    """A folder of a collection, ``globus://COLLECTION/path``.

    Attributes:
        pauses: How long to wait between questions.

    Raises:
        TransferError: The location names no collection by its id.
    """

    capabilities = Capabilities(mtimes=True, folders=True, bundles=True)
    pauses: ClassVar[Pauses] = Pauses()

    def __init__(self, location: Location, access: Access) -> None:
        super().__init__(location, access)
        if location.user or location.port or not _COLLECTION.fullmatch(location.host):
            raise TransferError(
                f"{str(location)!r} is no id of a collection and a path; ids are like "
                "globus://6c54cade-bde5-45c1-bdea-f4bd71dba2cc/path, and app.globus.org/collections shows them"
            )
        self._globus = Connection(access.profile, self.pauses)
        self._tasks = Tasks(self._globus)
        self._folders = Folders(self._globus, location.host, location.path)

    def list(self, paths: Sequence[str] = ("",)) -> Iterator[Entry]:
        """See `Storage.list`."""
        return listed(self._folders, paths)

    def put_many(self, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.put_many`; one task for all."""
        local = local_collection(settings())
        for some in _batches(items):
            yield from moves.put(self._folders, self._tasks, local, root, some, job)

    def get_many(self, items: Sequence[Item], root: str, job: Job) -> Iterator[Outcome]:
        """See `Storage.get_many`; one task for all."""
        local = local_collection(settings())
        for some in _batches(items):
            yield from moves.get(self._folders, self._tasks, local, some, root, job)

    def copies_from(self, source: Storage) -> bool:
        """See `Storage.copies_from`: from any collection."""
        return isinstance(source, GlobusStorage)

    def copy_many(self, source: Storage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.copy_many`; one task for all."""
        if not isinstance(source, GlobusStorage):
            yield from super().copy_many(source, items, job)
            return
        for some in _batches(items):
            yield from moves.copy(source._folders, self._folders, self._tasks, some, job)  # noqa: SLF001 - ours

    def checksums(self, paths: Sequence[str], job: Job) -> dict[str, str]:
        """See `Storage.checksums`: Globus reads no file in place, so that they come to this machine for a moment."""
        found = settings()
        local = local_collection(found)
        return checking.checksums(self._folders, self._tasks, local, found, paths, job)

    def remove_many(self, paths: Sequence[str]) -> None:
        """See `Storage.remove_many`."""
        removal.remove(self._folders, self._tasks, paths)

    def remove_all(self) -> None:
        """See `Storage.remove_all`."""
        removal.remove_all(self._folders, self._tasks)

    def discard_many(self, items: Sequence[Item]) -> None:
        """See `Storage.discard_many`."""
        self.remove_many([item.partial for item in items])

    def free_bytes(self) -> int | None:
        """See `Storage.free_bytes`: Globus does not tell, but whether there is such a collection."""
        with suppress(MissingFileError):  # the folder is made when files come
            self._folders.children("")
        return None

    def close(self) -> None:
        """See `Storage.close`."""
        self._globus.close()


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), _ITEMS_PER_TASK):
        yield items[start : start + _ITEMS_PER_TASK]
