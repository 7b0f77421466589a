"""A bucket, or the keys of one that begin with a prefix."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from pilot_data.entries import Entry, Item, Outcome
from pilot_data.errors import MissingFileError, TransferError
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.storage import Access, Capabilities, Storage

from .client import THREADS, connect
from .copies import LARGEST, Copy
from .gets import get_large, get_small
from .keys import folder_of, is_folder_mark, key_of, path_of
from .moves import AHEAD, each
from .objects import Bucket, StoredObject
from .parts import Uploads
from .puts import LargePut, put_small
from .workers import in_order


class S3Storage(Storage):
    """Objects below a prefix of a bucket. boto3's transfers, and its CRT, are not used."""

    capabilities = Capabilities(bundles=True)

    def __init__(self, location: Location, access: Access) -> None:
        super().__init__(location, access)
        self._opened: Bucket | None = None
        self._threads: ThreadPoolExecutor | None = None

    @property
    def bucket(self) -> Bucket:
        """The bucket; connects when first asked for."""
        if self._opened is None:
            self._opened = Bucket(connect(self.access), self.location.host)
        return self._opened

    def list(self, paths: Sequence[str] = ("",)) -> Iterator[Entry]:
        """See `Storage.list`. Modes are not listed, and times are those of storing."""
        for path in paths:
            yield from self._at(path)

    def put_many(self, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.put_many`."""
        bucket = self.bucket

        def small(item: Item) -> str:
            return put_small(bucket, self._key(item.target), root, item, job)

        def large(item: Item) -> str:
            return LargePut(bucket, self._pool, root, item, job).run(self._key(item.target))

        return each(self._pool, items, small, large, job)

    def get_many(self, items: Sequence[Item], root: str, job: Job) -> Iterator[Outcome]:
        """See `Storage.get_many`."""
        bucket = self.bucket

        def small(item: Item) -> str:
            return get_small(bucket, self._key(item.entry.path), root, item, job)

        def large(item: Item) -> str:
            return get_large(bucket, self._pool, self._key(item.entry.path), root, item, job)

        return each(self._pool, items, small, large, job)

    def checksums(self, paths: Sequence[str], job: Job) -> dict[str, str]:
        """See `Storage.checksums`: contents come through this machine, a block at a time."""
        bucket = self.bucket
        tasks = (partial(self._checksum, bucket, path, job) for path in paths)
        with closing(in_order(self._pool, tasks, AHEAD)) as found:
            return {path: checksum for path, checksum in zip(paths, found, strict=True) if checksum}

    def remove_many(self, paths: Sequence[str]) -> None:
        """See `Storage.remove_many`."""
        self.bucket.delete([self._key(path) for path in paths])

    def remove_all(self) -> None:
        """See `Storage.remove_all`."""
        folder = folder_of(self.location.path, "")
        uploads = Uploads(self.bucket)
        for upload in list(uploads.under(folder)):
            uploads.abort(upload)
        self.bucket.delete([stored.key for stored in self.bucket.list(folder)])

    def discard_many(self, items: Sequence[Item]) -> None:
        """See `Storage.discard_many`."""
        uploads = Uploads(self.bucket)
        for item in items:
            for upload in uploads.of(self._key(item.target)):
                uploads.abort(upload)

    def free_bytes(self) -> int | None:
        """See `Storage.free_bytes`: S3 does not tell, but whether there is such a bucket."""
        next(self.bucket.list(folder_of(self.location.path, "")), None)
        return None

    def copies_from(self, source: Storage) -> bool:
        """See `Storage.copies_from`: from buckets of the same service that are entered in the same way."""
        return isinstance(source, S3Storage) and source.access == self.access

    def copy_many(self, source: Storage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.copy_many`. An outcome has a checksum where the source's metadata tells it."""
        if not isinstance(source, S3Storage) or not self.copies_from(source):
            return super().copy_many(source, items, job)
        origin, copy = source.bucket, Copy(self.bucket, self._pool, job)
        prefix = source.location.path

        def move(item: Item) -> str:
            return copy.run(origin, key_of(prefix, item.entry.path), self._key(item.target), item)

        return each(self._pool, items, move, move, job, alone_above=LARGEST)

    def close(self) -> None:
        """See `Storage.close`."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        if self._opened is not None:
            self._opened.client.close()
            self._opened = None

    @property
    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pilot-s3")
        return self._threads

    def _key(self, path: str) -> str:
        if not path:
            raise TransferError("'' is no name of a file below a folder; rename it at its source")
        return key_of(self.location.path, path)

    def _at(self, path: str) -> Iterator[Entry]:
        key = key_of(self.location.path, path)
        found = not key
        if path:
            stored = self._object(key)
            if stored is not None:
                found = True
                yield self._entry(stored)
        for stored in self.bucket.list(folder_of(self.location.path, path)):
            found = True
            if not is_folder_mark(stored.key, stored.size):
                yield self._entry(stored)
        if not found:
            raise MissingFileError(f"there is nothing at {self.bucket.shown(key)}")

    def _object(self, key: str) -> StoredObject | None:
        try:
            return self.bucket.head(key)
        except MissingFileError:
            return None

    def _entry(self, stored: StoredObject) -> Entry:
        return Entry(path_of(self.location.path, stored.key), size=stored.size, mtime_ns=stored.mtime_ns)

    def _checksum(self, bucket: Bucket, path: str, job: Job) -> str:
        found = hashlib.sha256()
        try:
            with bucket.opened(self._key(path)) as opened:
                for data in opened.blocks():
                    found.update(data)
                    job.check()
        except MissingFileError:
            return ""
        return found.hexdigest()
