"""Objects copied by the service itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from functools import partial

from pilot_data.entries import Item
from pilot_data.errors import ChangedSourceError, ChecksumError, TransferError
from pilot_data.job import Job

from .etags import is_md5
from .keys import MIB
from .metadata import checksum_of
from .objects import Bucket, StoredObject
from .parts import Part, Upload, Uploads
from .workers import in_order

LARGEST = 5 << 30
"""Bytes that a service copies by one request at most."""

_PART = 512 * MIB
_PARTS_AHEAD = 8


class Copy:
    """Copies objects to a bucket.

    Args:
        bucket: Where to.
        pool: What asks for the parts of large ones.
        job: What to keep to.
    """

    def __init__(self, bucket: Bucket, pool: Executor, job: Job) -> None:
        self._bucket = bucket
        self._uploads = Uploads(bucket)
        self._pool = pool
        self._job = job

    def run(self, source: Bucket, source_key: str, key: str, item: Item) -> str:
        """Copy an object.

        Args:
            source: Where from.
            source_key: What it is called there.
            key: What it is called here.
            item: The file.

        Returns:
            Its SHA-256, if the source tells it and the job asks for it; empty otherwise.

        Raises:
            ChangedSourceError: The source is not the one any more that the item tells of.
            ChecksumError: What has arrived is not what the source has; it is removed.
        """
        stored = source.head(source_key)
        said = checksum_of(stored.metadata)
        if stored.size != item.entry.size or (said and item.entry.checksum not in {"", said}):
            raise ChangedSourceError(
                f"{source.shown(source_key)} has {stored.size} bytes and SHA-256 {said or 'unknown'} now, and had "
                f"{item.entry.size} and {item.entry.checksum or 'any'}; list it again"
            )
        named = {"Bucket": source.name, "Key": source_key}
        if stored.size > LARGEST:
            self._in_parts(named, stored, key)
        else:
            self._bucket.copy(named, key)
            self._job.moved(stored.size)
        self._verify(stored, key)
        return said if self._job.verifies else ""

    def _in_parts(self, source: dict[str, str], stored: StoredObject, key: str) -> None:
        upload = self._uploads.begin(key, stored.metadata)
        try:
            with closing(
                in_order(self._pool, self._tasks(upload, source, stored.size), _PARTS_AHEAD)
            ) as parts:
                self._uploads.finish(upload, list(parts))
        except TransferError:  # nothing that has gone over the wire is lost by it
            self._uploads.abort(upload)
            raise

    def _tasks(self, upload: Upload, source: dict[str, str], size: int) -> Iterator[Callable[[], Part]]:
        for index, start in enumerate(range(0, size, _PART)):
            yield partial(self._part, upload, index + 1, source, start, min(start + _PART, size))

    def _part(self, upload: Upload, number: int, source: dict[str, str], start: int, end: int) -> Part:
        self._job.check()
        part = self._uploads.copy(upload, number, source, start, end)
        self._job.moved(end - start)
        return part

    def _verify(self, source: StoredObject, key: str) -> None:
        found = self._bucket.head(key)
        both = is_md5(source.etag) and is_md5(found.etag) and source.etag_is_md5 and found.etag_is_md5
        if found.size != source.size or (both and found.etag != source.etag):
            self._bucket.delete([key])
            raise ChecksumError(
                f"{self._bucket.shown(key)} arrived with {found.size} bytes and ETag {found.etag}; the source has "
                f"{source.size} and {source.etag}; it was not kept"
            )
