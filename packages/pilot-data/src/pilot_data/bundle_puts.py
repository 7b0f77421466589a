"""Small files packed into bundles on their way to a storage.

Works on top of any storage. Memory holds one small file at a time, and the disk below ``spool`` `SPOOL_BYTES` of bundles, since
what one call of a storage takes may be one task of a service.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .bundle_index import Bundled, encode, list_of
from .bundle_share import Share
from .bundles import END, FOLDER, Place, header, name_of, padding, plan
from .entries import Entry, Item, Outcome
from .errors import STORAGE_WIDE, MissingFileError, TransferError
from .job import Job
from .local_files import below, translated
from .source_file import SourceFile
from .storage import Storage

SPOOL_BYTES = 512 << 20
"""How many bytes of bundles are made before they are brought to the storage."""


@dataclass(frozen=True)
class Stored:
    """How it went with one file that was put.

    Attributes:
        outcome: As of a storage.
        place: Where it lies; None when it stands under its own name, or did not land.
    """

    outcome: Outcome
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
    load = _Load(spool, there)
    try:
        for group in planned.groups:
            yield from load.pack(root, group, job)
            if load.size > SPOOL_BYTES:
                yield from load.put(storage, job)
        load.add(root, planned.others)
        yield from load.put(storage, job)
    finally:
        load.clear()


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

    def item(self, *, checked: bool) -> Item:
        """Return what brings it, from the root of the machine, to where bundles are."""
        checksum = self._hash.hexdigest() if checked else ""
        entry = Entry(self.path.lstrip("/"), size=self.size, checksum=checksum)
        return Item(entry, name_of(self._hash))

    def close(self) -> None:
        """Write no more."""
        os.close(self._fd)


@dataclass(frozen=True)
class _Bundle:
    """A bundle on its way: what brings it, and what is in it, with the places where the contents end."""

    path: str
    parts: tuple[Item, ...]
    packed: list[tuple[Outcome, int]]

    def stored(self, error: TransferError | None) -> Iterator[Stored]:
        """Yield how it went with its files."""
        for outcome, end in self.packed:
            size = outcome.item.entry.size
            if error is None:
                yield Stored(outcome, Place(self.path, end - size, size))
            else:
                yield Stored(Outcome(outcome.item, error=error))


class _Load:
    """What is brought to a storage by one call: bundles, their lists, and files that stand by themselves.

    Args:
        folder: Local folder for bundles that are made.
        there: Sizes of the bundles that the storage has, by path.
    """

    def __init__(self, folder: str, there: dict[str, int]) -> None:
        self.size = 0
        self._folder = folder
        self._there = there
        self._files: list[str] = []
        self._bundles: list[_Bundle] = []
        self._others: list[tuple[Item, Item]] = []
        self._content = 0

    def pack(self, root: str, group: Sequence[Item], job: Job) -> Iterator[Stored]:
        """Make a bundle; yield files that cannot be read."""
        spool = _Spool(self._folder)
        self._files.append(spool.path)
        packed: list[tuple[Outcome, int]] = []
        try:
            for item in group:
                job.check()
                outcome = _pack(root, item, job, spool)
                if outcome.error is not None:
                    yield Stored(outcome)
                    continue
                packed.append((outcome, spool.size))
                spool.add(padding(item.entry.size))
            spool.add(END)
        finally:
            spool.close()
        if packed:
            self._keep(spool, packed, job)

    def _keep(self, spool: _Spool, packed: list[tuple[Outcome, int]], job: Job) -> None:
        bundle = spool.item(checked=job.verifies)
        is_there = self._there.get(bundle.target) == spool.size
        listed = self._listed(bundle.target, packed)
        self._bundles.append(_Bundle(bundle.target, (listed,) if is_there else (bundle, listed), packed))
        self._content += 0 if is_there else sum(outcome.item.entry.size for outcome, _end in packed)
        self.size += spool.size

    def _listed(self, bundle: str, packed: list[tuple[Outcome, int]]) -> Item:
        """Write the list of a bundle's files, and return what brings it."""
        spool = _Spool(self._folder)
        self._files.append(spool.path)
        try:
            spool.add(
                encode(
                    Bundled(
                        replace(outcome.item.entry, path=outcome.item.target, checksum=outcome.checksum),
                        Place(bundle, end - outcome.item.entry.size, outcome.item.entry.size),
                    )
                    for outcome, end in packed
                )
            )
        finally:
            spool.close()
        return replace(spool.item(checked=False), target=list_of(bundle))

    def add(self, root: str, items: Sequence[Item]) -> None:
        """Add files that stand by themselves."""
        for item in items:
            path = f"{root}/{item.entry.path}".lstrip("/")
            self._others.append((replace(item, entry=replace(item.entry, path=path)), item))
        self._content += sum(item.entry.size for item in items)

    def put(self, storage: Storage, job: Job) -> Iterator[Stored]:
        """Bring everything by one call, and be empty again."""
        given = {id(moved): item for moved, item in self._others}
        errors: dict[str, TransferError] = {}
        parts = [part for bundle in self._bundles for part in bundle.parts]
        share = replace(job, on_bytes=Share(job, self._content))
        for outcome in storage.put_many("/", [*parts, *(moved for moved, _item in self._others)], share):
            if id(outcome.item) in given:
                yield Stored(replace(outcome, item=given[id(outcome.item)]))
            elif outcome.error is not None:
                errors[outcome.item.target] = outcome.error
        for bundle in self._bundles:
            failed = [errors[part.target] for part in bundle.parts if part.target in errors]
            yield from bundle.stored(failed[0] if failed else None)
        self.clear()

    def clear(self) -> None:
        """Remove what was made."""
        for path in self._files:
            os.unlink(path)
        self._files, self._bundles, self._others = [], [], []
        self.size = self._content = 0


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


def _bundles_of(storage: Storage) -> dict[str, int]:
    """Return the sizes of bundles that a storage has, by path."""
    try:
        return {entry.path: entry.size for entry in storage.list([FOLDER])}
    except MissingFileError:
        return {}
