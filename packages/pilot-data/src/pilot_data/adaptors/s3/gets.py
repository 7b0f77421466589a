"""Objects become files of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from functools import partial

from pilot_data.entries import Item
from pilot_data.errors import ChangedSourceError, ChecksumError
from pilot_data.job import Job
from pilot_data.landing import Landing

from .etags import EtagHash, is_md5, part_size_of
from .keys import MIB, part_size
from .metadata import checksum_of
from .objects import Bucket, StoredObject
from .workers import in_order

# In memory, since what comes is written in order, so that a file never has holes. Each request takes boto3 some
# milliseconds of CPU: smaller ranges are slower.
_RANGE = 12 * MIB
_RANGES_AHEAD = 4


def get_small(bucket: Bucket, key: str, root: str, item: Item, job: Job) -> str:
    """Fetch an object by one request, and return its SHA-256, empty when none is asked for."""
    job.check()
    with bucket.opened(key) as opened, Landing(root, item, job) as landing:
        return _land(landing, opened.stored, _Content(opened.blocks(), 0), item, job)


def get_large(bucket: Bucket, pool: Executor, key: str, root: str, item: Item, job: Job) -> str:
    """Fetch an object in ranges, several at once, behind what has arrived already, and return its SHA-256.

    Args:
        bucket: Where from.
        pool: What fetches ranges.
        key: Of the object.
        root: Local folder.
        item: The file.
        job: What to keep to.
    """
    stored = bucket.head(key)
    fetch = partial(_range, bucket, stored, job)
    with Landing(root, item, job) as landing:
        tasks = _ranges(fetch, landing.arrived, item.entry.size)
        with closing(in_order(pool, tasks, _RANGES_AHEAD)) as blocks:
            return _land(landing, stored, _Content(blocks, landing.arrived), item, job)


class _Content:
    """What is still to come of a content, and where it begins."""

    def __init__(self, blocks: Iterable[bytes], start: int) -> None:
        self.blocks = blocks
        self.start = start


def _land(landing: Landing, stored: StoredObject, content: _Content, item: Item, job: Job) -> str:
    if stored.size != item.entry.size:
        raise ChangedSourceError(
            f"{stored.key} has {stored.size} bytes now, and had {item.entry.size}; list it again"
        )
    expected = item.entry.checksum or checksum_of(stored.metadata)
    etag = _etag_hash(stored, landing, content.start) if job.verifies and not expected else None
    _write(landing, content, etag, job)
    if etag is not None and etag.etag() != stored.etag:
        raise ChecksumError(
            f"{landing.path} arrived with ETag {etag.etag()}, not {stored.etag}; it was not kept"
        )
    return landing.finish(expected)


def _write(landing: Landing, content: _Content, etag: EtagHash | None, job: Job) -> None:
    offset = content.start
    for data in content.blocks:
        landing.write(data, offset)
        if etag is not None:
            etag.update(data)
        offset += len(data)
        job.moved(len(data))


def _etag_hash(stored: StoredObject, landing: Landing, arrived: int) -> EtagHash | None:
    """Return what finds the ETag, with what has arrived already; None when the ETag tells nothing."""
    part = part_size_of(stored.etag, stored.size, part_size(stored.size)) if stored.etag_is_md5 else 0
    if not part:
        return None
    found = EtagHash(part, single=is_md5(stored.etag))
    for offset in range(0, arrived, MIB):
        found.update(landing.read(min(MIB, arrived - offset), offset))
    return found


def _ranges(fetch: Callable[[int, int], bytes], start: int, size: int) -> Iterator[Callable[[], bytes]]:
    for offset in range(start, size, _RANGE):
        yield partial(fetch, offset, min(offset + _RANGE, size))


def _range(bucket: Bucket, stored: StoredObject, job: Job, start: int, end: int) -> bytes:
    with bucket.opened(stored.key, start, end) as opened:
        # Not by If-Match, which some services do not look at.
        if opened.stored.etag != stored.etag:
            raise ChangedSourceError(f"{bucket.shown(stored.key)} changed while it was read; list it again")
        found = b"".join(opened.blocks(end - start))
    job.check()
    return found
