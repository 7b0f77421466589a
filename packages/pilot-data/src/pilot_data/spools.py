"""Temporary folders of this machine that files pass through; what killed processes have left of them is removed.

A folder is locked as long as its process lives, whatever way that ends (flock(2)). Locks may hold on one machine only,
so its name is in that of the folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .local_files import translated


@contextmanager
def spool_folder() -> Iterator[str]:
    """Give a temporary folder of this machine, which is removed afterwards: its real path.

    Raises:
        TransferError: None can be made.
    """
    try:
        _remove_abandoned(tempfile.gettempdir())
        path, lock = _made()
    except OSError as error:
        raise translated(error, "cannot make a temporary folder, see TMPDIR") from None
    try:
        yield path
    finally:
        shutil.rmtree(path)
        os.close(lock)


def _prefix() -> str:
    return f"pilot-spool-{os.uname().nodename}-"


def _made() -> tuple[str, int]:
    """Return a new folder, and the descriptor that holds its lock."""
    while True:
        path = os.path.realpath(tempfile.mkdtemp(prefix=_prefix()))
        with suppress(FileNotFoundError):  # see `_is_kept`
            descriptor = _opened(path)
            if _is_kept(path, descriptor):
                return path, descriptor
            os.close(descriptor)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_kept(path: str, descriptor: int) -> bool:
    """Lock a new folder; return False when somebody took it for an abandoned one before it was locked."""
    try:
        _lock(descriptor)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks, where none is taken for abandoned
    return os.path.exists(path)


def _remove_abandoned(parent: str) -> None:
    with os.scandir(parent) as found:
        paths = [entry.path for entry in found if entry.name.startswith(_prefix())]
    for path in paths:
        with suppress(OSError):  # somebody else's, in use, gone by now, or on a file system without locks
            _remove_unlocked(path)


def _remove_unlocked(path: str) -> None:
    descriptor = _opened(path)
    try:
        _lock(descriptor)
        shutil.rmtree(path)
    finally:
        os.close(descriptor)
