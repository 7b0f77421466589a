"""Small files packed into bundles on their way to a storage, and unpacked on their way back.

Works on top of any storage. Memory holds one small file, and the disk below ``spool`` one bundle, at a time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .bundles import END, FOLDER, Place, header, name_of, padding, plan
from .entries import Entry, Item, Outcome
from .errors import STORAGE_WIDE, ChecksumError, MissingFileError, TransferError
from .job import Job
from .landing import Landing
from .local_files import below, translated
from .source_file import SourceFile
from .storage import Storage


@dataclass(frozen=True)
class Stored:
    """How it went with one file that was put.

    Attributes:
        outcome: As of a storage.
        place: Where it lies; None when it stands under its own name, or did not land.
    """

    outcome: Outcome
    place: Place | None = None


@dataclass(frozen=True)
class Wanted:
    """A file to get.

    Attributes:
        item: From the storage to this machine; its entry's checksum, if it has one, is what the content must have.
        place: Where it lies; None when it stands under its own name.
    """

    item: Item
    place: Place | None = None


def put_bundled(storage: Storage, root: str, items: Sequence[Item], job: Job, spool: str) -> Iterator[Stored]:
    """Copy local files to a storage, small ones in bundles; promises what `Storage.put_many` promises.

    Args:
        storage: Where to.
        root: Local folder, absolute, that the items' entries are below.
        items: From there to the storage.
        job: What to keep to.
        spool: Local folder, absolute, for a bundle that is made; need not exist.

    Raises:
        TransferError: The storage as a whole fails, or this machine's disk is full.
    """
    planned = plan(items)
    there = _bundles_of(storage) if planned.groups else {}
    for group in planned.groups:
        job.check()
        yield from _put_group(storage, root, group, job, _Spool(spool), there)
    for outcome in storage.put_many(root, planned.others, job):
        yield Stored(outcome)


def get_bundled(
    storage: Storage, files: Sequence[Wanted], root: str, job: Job, spool: str
) -> Iterator[Outcome]:
    """Copy files from a storage, out of bundles where they lie in ones; promises what `Storage.get_many` promises.

    Args:
        storage: Where from.
        files: What to get.
        root: Local folder, absolute; need not exist.
        job: What to keep to.
        spool: Local folder, absolute, for bundles that are fetched; need not exist. What an interrupted call leaves
            there, another goes on with.

    Raises:
        TransferError: The storage as a whole fails, or this machine's disk is full.
    """
    bundles: dict[str, list[tuple[Item, Place]]] = {}
    for wanted in files:
        if wanted.place is not None:
            bundles.setdefault(wanted.place.bundle, []).append((wanted.item, wanted.place))
    for path, inside in bundles.items():
        job.check()
        yield from _get_bundle(storage, path, inside, root, job, spool)
    yield from storage.get_many([wanted.item for wanted in files if wanted.place is None], root, job)


class _Spool:
    """A bundle that is made on the disk."""

    def __init__(self, folder: str) -> None:
        try:
            os.makedirs(folder, exist_ok=True)
            self._fd, self.path = tempfile.mkstemp(".tar", dir=folder)
        except OSError as error:
            raise translated(error, f"cannot write below {folder}") from None
        self._hash = hashlib.sha256()
        self.size = 0

    def add(self, data: bytes) -> None:
        """Append bytes."""
        self._hash.update(data)
        self.size += len(data)
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise translated(error, f"cannot write {self.path}") from None

    def item(self) -> Item:
        """Return what brings it to where bundles are."""
        checksum = self._hash.hexdigest()
        return Item(
            Entry(os.path.basename(self.path), size=self.size, checksum=checksum), name_of(self._hash)
        )

    def remove(self) -> None:
        """Remove it."""
        os.close(self._fd)
        os.unlink(self.path)


def _put_group(
    storage: Storage, root: str, group: Sequence[Item], job: Job, spool: _Spool, there: dict[str, int]
) -> Iterator[Stored]:
    try:
        packed: list[tuple[Outcome, int]] = []
        for item in group:
            job.check()
            outcome = _pack(root, item, job, spool)
            if outcome.error is None:
                packed.append((outcome, spool.size))
            else:
                yield Stored(outcome)
            spool.add(padding(item.entry.size) if outcome.error is None else b"")
        spool.add(END)
        bundle = spool.item()
        error = None
        if packed and there.get(bundle.target) != spool.size:
            error = _put_bundle(storage, os.path.dirname(spool.path), bundle, job, _content_of(packed))
    finally:
        spool.remove()
    for outcome, end in packed:
        if error is not None:
            yield Stored(Outcome(outcome.item, error=error))
            continue
        size = outcome.item.entry.size
        yield Stored(outcome, Place(bundle.target, end - size, size))


def _pack(root: str, item: Item, job: Job, spool: _Spool) -> Outcome:
    try:
        below("/", item.target)
        with SourceFile(root, item, job) as source:
            data = source.read(item.entry.size + 1)
            checksum = source.finish()
    except STORAGE_WIDE:
        raise
    except TransferError as error:
        return Outcome(item, error=error)
    spool.add(header(item))
    spool.add(data)
    return Outcome(item, checksum)


def _put_bundle(storage: Storage, folder: str, bundle: Item, job: Job, content: int) -> TransferError | None:
    if not job.verifies:
        bundle = replace(bundle, entry=replace(bundle.entry, checksum=""))
    (outcome,) = storage.put_many(folder, [bundle], replace(job, on_bytes=_Share(job, content)))
    return outcome.error


def _content_of(packed: Sequence[tuple[Outcome, int]]) -> int:
    return sum(outcome.item.entry.size for outcome, _end in packed)


class _Share:
    """Tells of the bytes of a bundle as many as its files have."""

    def __init__(self, job: Job, content: int) -> None:
        self._job = job
        self._left = content

    def __call__(self, count: int) -> None:
        """Take note of bytes that have moved."""
        told = min(count, self._left)
        self._left -= told
        self._job.on_bytes(told)


def _bundles_of(storage: Storage) -> dict[str, int]:
    """Return the sizes of bundles that a storage has, by path."""
    try:
        return {entry.path: entry.size for entry in storage.list([FOLDER])}
    except MissingFileError:
        return {}


def _get_bundle(
    storage: Storage, path: str, inside: Sequence[tuple[Item, Place]], root: str, job: Job, spool: str
) -> Iterator[Outcome]:
    content = sum(place.size for _item, place in inside)
    try:
        fetched = _fetch(storage, path, replace(job, on_bytes=_Share(job, content)), spool)
    except STORAGE_WIDE:
        raise
    except TransferError as error:
        yield from (Outcome(item, error=error) for item, _place in inside)
        return
    try:
        for item, place in inside:
            job.check()
            yield _unpack(fetched, place, root, item, job)
    finally:
        os.close(fetched)


def _fetch(storage: Storage, path: str, job: Job, spool: str) -> int:
    """Bring a bundle to the disk, and return it as an open file that has no name any more."""
    (entry,) = storage.list([path])
    (outcome,) = storage.get_many([Item(entry, os.path.basename(path))], spool, job)
    if outcome.error is not None:
        raise outcome.error
    fetched = below(spool, os.path.basename(path))
    try:
        opened = os.open(fetched, os.O_RDONLY | os.O_CLOEXEC)
        os.unlink(fetched)
    except OSError as error:
        raise translated(error, f"cannot read {fetched}") from None
    return opened


def _unpack(bundle: int, place: Place, root: str, item: Item, job: Job) -> Outcome:
    try:
        if place.size != item.entry.size or place.offset + place.size > os.fstat(bundle).st_size:
            raise ChecksumError(
                f"{place.bundle} has no {item.entry.size} bytes at {place.offset}, where {item.entry.path} should be"
            )
        data = os.pread(bundle, place.size, place.offset)
        landing = Landing(root, item, job)
        landing.write(data, 0)
        return Outcome(item, landing.finish(item.entry.checksum))
    except STORAGE_WIDE:
        raise
    except TransferError as error:
        return Outcome(item, error=error)
    except OSError as error:
        return Outcome(item, error=translated(error, f"cannot read {place.bundle}"))
