"""A local file that is read to be sent: hashed on the way, and watched for changes."""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractContextManager
from types import TracebackType

from .entries import Item
from .errors import ChangedSourceError
from .job import Job
from .local_files import below, translated


class SourceFile(AbstractContextManager["SourceFile"]):
    """A local file on its way elsewhere. Leaving its context closes it.

    Args:
        root: Local folder that the item's entry is below.
        item: The file.
        job: Says whether contents are hashed.

    Attributes:
        path: Absolute.
        size: Bytes, as the entry has them.

    Raises:
        TransferError: It cannot be opened.
    """

    def __init__(self, root: str, item: Item, job: Job) -> None:
        self.path = below(root, item.entry.path)
        self.size = item.entry.size
        self._entry = item.entry
        self._hash = hashlib.sha256() if job.verifies else None
        self._read = 0
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise translated(error, f"cannot read {self.path}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def read(self, count: int) -> bytes:
        """Return the next bytes, at most so many; none at the end.

        Raises:
            TransferError: It cannot be read.
        """
        try:
            data = os.read(self._fd, count)
        except OSError as error:
            raise translated(error, f"cannot read {self.path}") from None
        if self._hash is not None:
            self._hash.update(data)
        self._read += len(data)
        return data

    def read_at(self, count: int, offset: int) -> bytes:
        """Return bytes of a place, at most so many; they are not hashed. May be used by several threads.

        Raises:
            TransferError: They cannot be read.
        """
        try:
            return os.pread(self._fd, count, offset)
        except OSError as error:
            raise translated(error, f"cannot read {self.path}") from None

    def finish(self) -> str:
        """Return the SHA-256 of what was read, which is the whole file; empty when none was asked for.

        Raises:
            ChangedSourceError: The file changed meanwhile, or is not the one that the entry tells of.
        """
        try:
            found = os.fstat(self._fd)
        except OSError as error:
            raise translated(error, f"cannot read {self.path}") from None
        checksum = self._hash.hexdigest() if self._hash is not None else ""
        if {self._read, found.st_size} != {self._entry.size} or self._entry.mtime_ns not in {
            0,
            found.st_mtime_ns,
        }:
            raise ChangedSourceError(
                f"{self.path} has changed since it was listed ({found.st_size} bytes now, {self._entry.size} then); "
                "move it when nothing writes to it any more"
            )
        if checksum and self._entry.checksum not in {"", checksum}:
            raise ChangedSourceError(
                f"{self.path} has not the content any more that it had: SHA-256 {checksum} instead of "
                f"{self._entry.checksum}"
            )
        return checksum
