"""Files of this machine become objects."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from functools import partial

from pilot_data.entries import Item
from pilot_data.errors import (
    STORAGE_WIDE,
    AccessDeniedError,
    ChangedSourceError,
    MissingFileError,
    TransferError,
)
from pilot_data.job import Job
from pilot_data.source_file import SourceFile

from .etags import etag_of_parts, is_md5
from .keys import MIB, part_size
from .metadata import SOURCE, metadata_of, source_of
from .objects import Bucket
from .parts import Part, Upload, Uploads
from .s3_errors import UploadGoneError
from .workers import in_order

_PARTS_AHEAD = 4
_ATTEMPTS = 3


def put_small(bucket: Bucket, key: str, root: str, item: Item, job: Job) -> str:
    """Store a file by one request, and return its SHA-256, empty when none is asked for."""
    with SourceFile(root, item, job) as source:
        # One byte more than it should have tells of a file that has grown.
        data = b"".join(_blocks(source, item.entry.size + 1))
        checksum = source.finish()
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    bucket.put(key, data, digest, metadata_of(item, checksum))
    job.moved(len(data))
    return checksum


class LargePut:
    """A file on its way, part by part.

    Each part is read once to be hashed, and again to be sent under its MD5: the service keeps it only if both were the
    same. Parts that an earlier attempt has brought are known by their MD5s, whatever has become of the file since.

    Args:
        bucket: Where to.
        pool: What sends parts.
        root: Local folder.
        item: The file.
        job: What to keep to.
    """

    def __init__(self, bucket: Bucket, pool: Executor, root: str, item: Item, job: Job) -> None:
        self._bucket = bucket
        self._uploads = Uploads(bucket)
        self._pool = pool
        self._root = root
        self._item = item
        self._job = job
        self._part_size = part_size(item.entry.size)

    def run(self, key: str) -> str:
        """Bring the file, and return its SHA-256, empty when none is asked for.

        Args:
            key: Where to.

        Raises:
            TransferError: It was not stored. Its parts stay if it is worth going on with them.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return self._attempt(key, resumes=attempt == 0)
            except UploadGoneError:
                if attempt + 1 == _ATTEMPTS:
                    raise
            checksum = self._standing(key)
            if checksum is not None:
                return checksum
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, key: str, *, resumes: bool) -> str:
        with SourceFile(self._root, self._item, self._job) as source:
            digests = _digests(source, self._part_size)
            first = next(digests, None)
            if first is None:
                source.finish()
                raise ChangedSourceError(f"{source.path} is empty by now; move it when nothing writes to it")
            begun = self._resumable(key, first) if resumes else []
            upload, there = begun[0] if begun else (self._begin(key), {})
            tasks = _PartTasks(self._uploads, upload, there, source, self._job).each(
                itertools.chain([first], digests), self._part_size
            )
            try:
                with closing(in_order(self._pool, tasks, _PARTS_AHEAD)) as sent:
                    parts = list(sent)
                checksum = source.finish()
                self._uploads.finish(upload, parts)
            except STORAGE_WIDE:  # worth going on with
                raise
            except TransferError:
                self._uploads.abort(upload)
                raise
        for other, _there in begun[1:]:
            self._uploads.abort(other)
        return checksum

    def _begin(self, key: str) -> Upload:
        return self._uploads.begin(key, metadata_of(self._item, self._item.entry.checksum))

    def _resumable(self, key: str, first: tuple[bytes, int]) -> list[tuple[Upload, dict[int, Part]]]:
        """Return uploads of the same content, the most advanced one first, as far as their first parts tell."""
        try:
            known = [(upload, self._uploads.parts(upload)) for upload in self._uploads.of(key)]
        except (AccessDeniedError, UploadGoneError):  # to begin anew is allowed without this permission
            return []
        fitting = [found for found in known if 1 not in found[1] or found[1][1].has(*first)]
        return sorted(fitting, key=lambda found: -len(found[1]))

    def _standing(self, key: str) -> str | None:
        """Return the SHA-256 of the file if somebody else has stored just it; None otherwise."""
        try:
            stored = self._bucket.head(key)
        except MissingFileError:
            return None
        if stored.size != self._item.entry.size or stored.metadata.get(SOURCE) != source_of(self._item):
            return None
        with SourceFile(self._root, self._item, self._job) as source:
            digests = [digest for digest, _size in _digests(source, self._part_size)]
            checksum = source.finish()
        # Some services name an object that came in parts by the MD5 of all of it.
        same = stored.etag == etag_of_parts(digests) or is_md5(stored.etag)
        return checksum if same else None


class _PartTasks:
    """What brings the parts of one attempt."""

    def __init__(
        self, uploads: Uploads, upload: Upload, there: dict[int, Part], source: SourceFile, job: Job
    ) -> None:
        self._uploads = uploads
        self._upload = upload
        self._there = there
        self._source = source
        self._job = job

    def each(self, digests: Iterable[tuple[bytes, int]], part_size: int) -> Iterator[Callable[[], Part]]:
        """Yield what brings each part; the file is read so far as they are asked for."""
        for index, (digest, size) in enumerate(digests):
            yield partial(self._put, index + 1, index * part_size, digest, size)

    def _put(self, number: int, start: int, digest: bytes, size: int) -> Part:
        self._job.check()
        there = self._there.get(number)
        if there is not None and there.has(digest, size):
            return there
        body = _PartFile(self._source, start, size, self._job)
        part = self._uploads.put(self._upload, number, body, size, digest)
        self._job.moved(size)
        return part


class _PartFile(io.RawIOBase):
    """A part of a file, as a file that boto3 reads, more than once if it has to."""

    def __init__(self, source: SourceFile, start: int, size: int, job: Job) -> None:
        super().__init__()
        self._source = source
        self._start = start
        self._size = size
        self._job = job
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        self._job.check()
        left = self._size - self._at
        data = self._source.read_at(left if size < 0 else min(size, left), self._start + self._at)
        self._at += len(data)
        return data


def _blocks(source: SourceFile, count: int) -> Iterator[bytes]:
    """Yield the next bytes of a file, at most so many."""
    while count and (data := source.read(min(count, MIB))):
        count -= len(data)
        yield data


def _digests(source: SourceFile, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield MD5 and size of each part of a file."""
    while True:
        found = hashlib.md5(usedforsecurity=False)
        count = 0
        for data in _blocks(source, size):
            found.update(data)
            count += len(data)
        if count:
            yield found.digest(), count
        if count < size:
            return
