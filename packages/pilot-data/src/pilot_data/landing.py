"""A local file that arrives piece by piece under a temporary name, and is renamed when it is whole and verified."""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractContextManager, suppress
from types import TracebackType

from .entries import Item
from .errors import STORAGE_WIDE, ChecksumError, TransferError
from .job import Job
from .local_files import below, make_parents, translated

_BLOCK = 1 << 20


class Landing(AbstractContextManager["Landing"]):
    """A file on its way to this machine.

    Leaving its context leaves what has arrived for another attempt, unless the error is one of this file.

    Args:
        root: Local folder that it lands in.
        item: The file.
        job: Says whether contents are verified, and whether files are flushed to the disk.

    Attributes:
        arrived: Bytes that an earlier attempt has left here; writing may go on behind them.

    Raises:
        TransferError: It cannot be made.
    """

    def __init__(self, root: str, item: Item, job: Job) -> None:
        self.path = below(root, item.target)
        self.partial = below(root, item.partial)
        self._item = item
        self._job = job
        self._hash = hashlib.sha256()
        self._hashed = 0
        try:
            self._fd = self._opened()
            self.arrived = min(os.fstat(self._fd).st_size, item.entry.size)
        except OSError as error:
            raise translated(error, f"cannot write {self.path}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TransferError) and not isinstance(error, STORAGE_WIDE):
            self.discard()
        self.close()

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Put bytes at their place.

        Raises:
            TransferError: The disk is full, or does not take them.
        """
        view = memoryview(data)
        if self._job.verifies and offset == self._hashed:
            self._hash.update(view)
            self._hashed += len(view)
        try:
            while view:
                count = os.pwrite(self._fd, view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            raise translated(error, f"cannot write {self.path}") from None

    def read(self, count: int, offset: int) -> bytes:
        """Return bytes that have arrived, at most so many.

        Raises:
            TransferError: The disk does not give them.
        """
        try:
            return os.pread(self._fd, count, offset)
        except OSError as error:
            raise translated(error, f"cannot read {self.partial}") from None

    def read_again(self) -> None:
        """Let `finish` verify what the disk gives back, not what was written."""
        self._hash = hashlib.sha256()
        self._hashed = 0

    def finish(self, expected: str) -> str:
        """Verify the file and give it its name, mode and time.

        Args:
            expected: SHA-256 that it must have; empty when only the size can be compared.

        Returns:
            Its SHA-256; empty when the job asks for none.

        Raises:
            ChecksumError: It has another size or content; what had arrived is removed.
            TransferError: The system refuses.
        """
        try:
            size = os.fstat(self._fd).st_size
            checksum = self._checksum(size) if self._job.verifies else ""
            if size != self._item.entry.size or (checksum and expected not in {"", checksum}):
                self.discard()
                raise ChecksumError(
                    f"{self.path} arrived with {size} bytes and SHA-256 {checksum or 'unknown'}; expected were "
                    f"{self._item.entry.size} bytes and {expected or 'any'}; it was not kept"
                )
            self._settle()
        except OSError as error:
            raise translated(error, f"cannot write {self.path}") from None
        finally:
            self.close()
        return checksum

    def close(self) -> None:
        """Leave what has arrived for another attempt."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Remove what has arrived."""
        self.close()
        with suppress(FileNotFoundError):
            os.unlink(self.partial)

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        # Until the file is whole it is nobody else's; where its mode is not known, it is that of any new file.
        mode = 0o600 if self._item.entry.mode else 0o666
        try:
            return os.open(self.partial, flags, mode)
        except FileNotFoundError:
            make_parents(self.partial)
            return os.open(self.partial, flags, mode)

    def _checksum(self, size: int) -> str:
        while self._hashed < size and (data := os.pread(self._fd, _BLOCK, self._hashed)):
            self._hash.update(data)
            self._hashed += len(data)
        return self._hash.hexdigest()

    def _settle(self) -> None:
        entry = self._item.entry
        if entry.mode:
            os.fchmod(self._fd, entry.mode)
        if entry.mtime_ns:
            os.utime(self._fd, ns=(entry.mtime_ns, entry.mtime_ns))
        if self._job.durable:
            os.fsync(self._fd)
        try:
            os.rename(self.partial, self.path)
        except FileNotFoundError:
            # Somebody else, who brought the same file, has renamed it. Then it stands, or there is an error to tell.
            if os.stat(self.path).st_size != entry.size:
                raise


def land_other(root: str, item: Item) -> None:
    """Make a symbolic link or an empty folder, in place of a file or link of that name.

    Args:
        root: Local folder.
        item: What is to be made.

    Raises:
        TransferError: The system refuses.
    """
    path = below(root, item.target)
    try:
        make_parents(path)
        if item.entry.is_folder:
            os.makedirs(path, exist_ok=True)
            return
        partial = below(root, item.partial)
        with suppress(FileNotFoundError):
            os.unlink(partial)
        os.symlink(item.entry.link, partial)
        os.rename(partial, path)
    except OSError as error:
        raise translated(error, f"cannot make {path}") from None
