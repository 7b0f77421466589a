"""Copies files from one host to another, by an ``sftp`` that the first one runs; we make, verify and name them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pilot_data.entries import Item, Outcome
from pilot_data.errors import ChecksumError, TransferError
from pilot_data.job import Job
from pilot_data.local_files import below
from pilot_data.moving import batches
from pilot_data.storage import Storage

from . import pipeline
from .arriving import Arriving
from .bringing import put_other, told
from .folders import Folders
from .onward import OnwardSftp, begun
from .session import Session, encoded
from .sftp_commands import is_possible, put_line

_TOGETHER = 64
"""Files that are open at the target at once."""


@dataclass(frozen=True)
class _Push:
    """A file that is open at the target, and what was said about its way there."""

    item: Item
    arriving: Arriving
    said: Sequence[str] = ()

    @property
    def is_there(self) -> bool:
        """Whether an earlier attempt has brought all of it."""
        return 0 < self.arriving.arrived == self.item.entry.size


class Pushing:
    """Files on their way from one host to another.

    Args:
        session: Of the target.
        source: The storage that the items' entries are in.
        at_source: Its session.
        job: What to keep to.
    """

    def __init__(self, session: Session, source: Storage, at_source: Session, job: Job) -> None:
        self._session = session
        self._source = source
        self._connection = at_source.connection
        self._root = at_source.absolute(source.location.path)
        self._job = job
        self._folders = Folders(session)

    def takes(self, item: Item) -> bool:
        """Return whether the file can go this way; ``sftp`` is told names in lines."""
        return not item.entry.has_content or is_possible(self._from(item), self._session.path(item.partial))

    def run(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Yield how it went with each item that `takes` says yes to, in any order.

        Raises:
            TransferError: One of the storages fails as a whole.
        """
        self._job.check()
        self._folders.make([item.target for item in items])
        others = [item for item in items if not item.entry.has_content]
        yield from self._session.run(pipeline.Job(told(item, self._make)) for item in others)
        files = [item for item in items if item.entry.has_content]
        if files:
            yield from self._push(files)

    def _push(self, files: Sequence[Item]) -> Iterator[Outcome]:
        onward = begun(self._connection, self._session.connection.login)
        if onward is None:
            raise TransferError(f"{self._connection.login.name}: no program may be run there any more")
        try:
            for some in batches(files, _TOGETHER):
                yield from self._together(onward, some)
        finally:
            onward.close()

    def _together(self, onward: OnwardSftp, items: Sequence[Item]) -> Iterator[Outcome]:
        pushes: list[_Push] = []

        async def opened(item: Item) -> str:
            await self._folders.need_above(item.target)
            arriving = Arriving(self._session, item, self._job, follows=False)
            await arriving.open()
            pushes.append(_Push(item, arriving))
            return ""

        outcomes = self._session.run(
            (pipeline.Job(told(item, opened)) for item in items), hashing=self._job.verifies
        )
        yield from [outcome for outcome in outcomes if outcome.error is not None]
        waiting = deque(push for push in pushes if not push.is_there)
        if waiting:
            onward.tell([put_line(self._from(push.item), push.arriving.partial) for push in waiting])
        known = self._known([push.item for push in pushes])  # is hashed at the source meanwhile
        yield from self._finished([push for push in pushes if push.is_there], known)
        while waiting:
            done = [(waiting.popleft(), said) for said in onward.done(self._job)]
            yield from self._finished([_Push(push.item, push.arriving, said) for push, said in done], known)

    def _known(self, items: Sequence[Item]) -> dict[str, str]:
        """Return what files must have arrived with, by their paths at the source; nothing when nobody asks."""
        if not self._job.verifies:
            return {}
        unknown = [item.entry.path for item in items if not item.entry.checksum]
        found = self._source.checksums(unknown, self._job) if unknown else {}
        return {**found, **{item.entry.path: item.entry.checksum for item in items if item.entry.checksum}}

    def _finished(self, pushes: Sequence[_Push], known: dict[str, str]) -> Iterator[Outcome]:
        by_target = {push.item.target: push for push in pushes}

        async def finish(item: Item) -> str:
            return await self._finish(by_target[item.target], known.get(item.entry.path, ""))

        jobs = (pipeline.Job(told(push.item, finish)) for push in pushes)
        return self._session.run(jobs, hashing=self._job.verifies)

    async def _finish(self, push: _Push, expected: str) -> str:
        arriving, size = push.arriving, push.item.entry.size
        async with arriving:
            attributes = self._session.sftp.fstat(arriving.handle)
            found = await self._session.attributes(attributes, "read", arriving.partial)
            if found.size != size:
                raise await self._why(push, found.size or 0)
            self._job.moved(size - arriving.arrived)
            return await arriving.finish(expected)

    async def _why(self, push: _Push, size: int) -> TransferError:
        """Return why not all of a file has arrived."""
        missing = push.item.entry.size - size
        what = f"cannot write {self._session.shown(push.arriving.path)} from {self._connection.login.name}"
        if not push.said:
            return ChecksumError(f"{what}: {size} bytes have arrived of {push.item.entry.size}")
        full = await self._session.no_room(push.arriving.path, missing)
        return full or TransferError(f"{what}: sftp there says: {push.said[-1]}")

    async def _make(self, item: Item) -> str:
        await put_other(self._session, self._folders, item)
        return ""

    def _from(self, item: Item) -> bytes:
        return encoded(below(self._root, item.entry.path))
