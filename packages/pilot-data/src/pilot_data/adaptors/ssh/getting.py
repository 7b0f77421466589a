"""Brings files of a host to this machine, many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pilot_data.entries import Entry, Item, Outcome
from pilot_data.errors import ChangedSourceError
from pilot_data.job import Job
from pilot_data.landing import Landing, land_other

from . import pipeline
from . import sftp_wire as wire
from .bringing import told
from .fetching import LARGE, fetch
from .remote_hashes import hash_in
from .replies import Reply
from .session import Session

_SECOND_NS = 10**9


class Getting:
    """Files on their way from a host.

    Args:
        session: Of the host.
        root: Local folder, absolute.
        job: What to keep to.
    """

    def __init__(self, session: Session, root: str, job: Job) -> None:
        self._session = session
        self._sftp = session.sftp
        self._root = root
        self._job = job

    def run(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Yield how it went with each item, in any order.

        Raises:
            TransferError: The storage as a whole fails.
        """
        self._job.check()
        hashing = self._job.verifies and any(_needs_hash(item.entry) for item in items)
        return self._session.run(
            (pipeline.Job(told(item, self._get), item.entry.size) for item in items), hashing=hashing
        )

    async def _get(self, item: Item) -> str:
        self._job.check()
        if item.entry.link or item.entry.is_folder:
            land_other(self._root, item)
            return ""
        path = self._session.path(item.entry.path)
        asked = self._asked_early(item.entry, path)
        handle = await self._session.handle(self._sftp.open(path, wire.READING), "read", path)
        try:
            with Landing(self._root, item, self._job) as landing:
                return await self._land(item.entry, path, landing, handle, asked)
        finally:
            self._sftp.close_handle(handle)

    def _asked_early(self, entry: Entry, path: bytes) -> Reply | None:
        """Let the file be hashed while it is on its way; a small one does not wait for what hashes to be started."""
        if entry.size < LARGE and not self._session.has_hashes:
            return None
        return self._asked(entry, path)

    def _asked(self, entry: Entry, path: bytes) -> Reply | None:
        """Let the file be hashed where it is, unless its hash is known."""
        if not self._job.verifies or not _needs_hash(entry):
            return None
        hashes = self._session.hashes()
        return hashes.ask(path) if hashes is not None else None

    async def _land(
        self, entry: Entry, path: bytes, landing: Landing, handle: bytes, asked: Reply | None
    ) -> str:
        still = await fetch(self._session, landing, entry, handle, self._job)
        found = await self._session.attributes(still, "read", path)
        if found.size not in {None, entry.size} or _is_newer(found, entry):
            raise ChangedSourceError(
                f"{self._session.shown(path)} is not the file any more that it was ({found.size} bytes now, "
                f"{entry.size} before); move it when nothing writes to it any more"
            )
        asked = asked or self._asked(entry, path)
        expected = entry.checksum or (hash_in(await asked) if asked is not None else "")
        return landing.finish(expected)


def _needs_hash(entry: Entry) -> bool:
    return not (entry.checksum or entry.link or entry.is_folder)


def _is_newer(found: wire.Attributes, entry: Entry) -> bool:
    """Return whether a file has changed since its entry was made; SFTP knows whole seconds."""
    return bool(
        entry.mtime_ns and found.mtime_s is not None and found.mtime_s != entry.mtime_ns // _SECOND_NS
    )
