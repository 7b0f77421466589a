"""Small files unpacked from bundles on their way from a storage.

Works on top of any storage. Memory holds one small file, and the disk below ``spool`` one bundle, at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from .bundle_share import Share
from .bundles import Place
from .entries import Item, Outcome
from .errors import STORAGE_WIDE, ChecksumError, TransferError
from .job import Job
from .landing import Landing
from .local_files import below, translated
from .outcomes import outcome_of
from .storage import Storage


@dataclass(frozen=True)
class Wanted:
    """A file to get.

    Attributes:
        item: From the storage to this machine; its entry's checksum, if it has one, is what the content must have.
        place: Where it lies; None when it stands under its own name.
    """

    item: Item
    place: Place | None = None


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


def _get_bundle(
    storage: Storage, path: str, inside: Sequence[tuple[Item, Place]], root: str, job: Job, spool: str
) -> Iterator[Outcome]:
    content = sum(place.size for _item, place in inside)
    try:
        fetched = _fetch(storage, path, replace(job, on_bytes=Share(job, content)), spool)
    except STORAGE_WIDE:
        raise
    except TransferError as error:
        yield from (Outcome(item, error=error) for item, _place in inside)
        return
    try:
        for item, place in inside:
            job.check()
            yield outcome_of(item, partial(_unpack, fetched, place, root, job))
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


def _unpack(bundle: int, place: Place, root: str, job: Job, item: Item) -> str:
    try:
        if place.size != item.entry.size or place.offset + place.size > os.fstat(bundle).st_size:
            raise ChecksumError(
                f"{place.bundle} has no {item.entry.size} bytes at {place.offset}, where {item.entry.path} should be"
            )
        data = os.pread(bundle, place.size, place.offset)
    except OSError as error:
        raise translated(error, f"cannot read {place.bundle}") from None
    with Landing(root, item, job) as landing:
        landing.write(data, 0)
        return landing.finish(item.entry.checksum)
