"""Puts files into another folder of the same file system under a second name, so that no byte is copied."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

from pilot_data.adaptors.file import FileStorage
from pilot_data.entries import Item, Outcome
from pilot_data.job import Job
from pilot_data.local_files import below, make_parents, translated
from pilot_data.moving import move
from pilot_data.outcomes import outcome_of
from pilot_data.source_file import SourceFile

_BLOCK = 1 << 20
_CANNOT = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES})
"""Another file system, or one without such links, or too many of them: then a copy is made."""


def put_linked(
    source: FileStorage, target: FileStorage, items: Sequence[Item], job: Job
) -> Iterator[Outcome]:
    """Move items as `moving.move` does; files of the source's folder are linked where that can be.

    Args:
        source: A folder whose files nobody writes to any more.
        target: Another one.
        items: From there to there.
        job: What to keep to.
    """
    copied: list[Item] = []
    root = os.path.realpath(source.root)
    for item in items:
        job.check()
        path = os.path.realpath(below(source.root, item.entry.path))
        if item.entry.is_folder or not path.startswith(f"{root}/"):  # what is elsewhere may be written to
            copied.append(item)
            continue
        partial = below(target.root, item.partial)
        if not _is_linked(path, partial):
            copied.append(item)
            continue
        yield outcome_of(item, lambda one: _land(source, target, one, job))
    yield from move(source, target, copied, job)


def _is_linked(path: str, partial: str) -> bool:
    """Give a file a second name; return False where that cannot be."""
    try:
        make_parents(partial)
        with suppress(FileNotFoundError):
            os.unlink(partial)
        os.link(path, partial)
        return True
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise translated(error, f"cannot link {path} to {partial}") from None


def _land(source: FileStorage, target: FileStorage, item: Item, job: Job) -> str:
    """Verify a file that has been linked, and give it its name; return its SHA-256."""
    partial, path = below(target.root, item.partial), below(target.root, item.target)
    try:
        with SourceFile(source.root, item, job) as reading:
            while job.verifies and reading.read(_BLOCK):
                job.check()
            checksum = reading.finish() if job.verifies else ""
        os.rename(partial, path)
    except OSError as error:
        raise translated(error, f"cannot put {path}") from None
    finally:
        with suppress(FileNotFoundError):  # renaming a file to another name of itself does nothing
            os.unlink(partial)
    return checksum
