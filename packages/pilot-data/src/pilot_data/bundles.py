"""Which small files are stored together, and where each lies in what was made of them. Pure.

A bundle is a tar archive, below `FOLDER` of a storage, that any tar reads. Its name follows from what is in it: a file that
was bundled before is not brought again with the same others.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .entries import Item
from .errors import TransferError

FOLDER = ".pilot-bundles"
"""Where bundles are, below the root of a storage."""

SMALL = 1 << 20
"""Files of fewer bytes are bundled."""

FEWEST = 16
"""Fewer small files than this are not worth a bundle."""

LARGEST = 64 << 20
"""Bytes of a bundle, at most."""

_BLOCK = tarfile.BLOCKSIZE
_END = 2 * _BLOCK


@dataclass(frozen=True)
class Place:
    """Where a file lies in a bundle.

    Attributes:
        bundle: Path of the bundle below the root of the storage.
        offset: Where the content begins, bytes.
        size: Of the content, bytes.
    """

    bundle: str
    offset: int
    size: int

    def to_json(self) -> dict[str, Any]:
        """Return what a manifest stores."""
        return {"bundle": self.bundle, "offset": self.offset, "size": self.size}

    @classmethod
    def from_json(cls, stored: Any) -> Place:
        """Return what a manifest has stored.

        Raises:
            TransferError: It is none.
        """
        match stored:
            case {"bundle": str(bundle), "offset": int(offset), "size": int(size)} if min(offset, size) >= 0:
                return cls(bundle, offset, size)
        raise TransferError(f"{stored!r} is no place in a bundle; it has bundle, offset and size")


@dataclass(frozen=True)
class Plan:
    """What is stored together.

    Attributes:
        groups: Files that make a bundle each.
        others: Files that stand by themselves.
    """

    groups: tuple[tuple[Item, ...], ...]
    others: tuple[Item, ...]


def plan(items: Sequence[Item]) -> Plan:
    """Return which files are stored together; the same for the same files in any order."""
    small = sorted(filter(_is_small, items), key=lambda item: item.target)
    if len(small) < FEWEST:
        return Plan((), tuple(items))
    others = tuple(item for item in items if not _is_small(item))
    return Plan(tuple(_groups(small)), others)


def _is_small(item: Item) -> bool:
    return item.entry.size < SMALL and not item.entry.link and not item.entry.is_folder


def _groups(items: Iterable[Item]) -> Iterable[tuple[Item, ...]]:
    group: list[Item] = []
    filled = _END
    for item in items:
        # What a tar archive adds to a file is a header, and for long names or ones that are not ASCII another.
        needed = (
            padded(item.entry.size)
            + 4 * _BLOCK
            + padded(2 * len(item.target.encode("utf-8", "surrogateescape")))
        )
        if group and filled + needed > LARGEST:
            yield tuple(group)
            group, filled = [], _END
        group.append(item)
        filled += needed
    if group:
        yield tuple(group)


def header(item: Item) -> bytes:
    """Return what stands before a file's content in a bundle."""
    found = tarfile.TarInfo(item.target)
    found.size = item.entry.size
    # Whole seconds, and no owner: for these, too, an archive would need a header more for each file.
    found.mtime = item.entry.mtime_ns // 10**9
    found.mode = item.entry.mode or 0o644
    return found.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """Return what stands behind a content of this size."""
    return bytes(padded(size) - size)


def padded(size: int) -> int:
    """Return how many bytes a content of this size takes."""
    return -(-size // _BLOCK) * _BLOCK


END = bytes(_END)
"""What stands at the end of a bundle."""


def name_of(digest: hashlib._Hash) -> str:
    """Return the path of a bundle by the hash of all that is in it."""
    return f"{FOLDER}/{digest.hexdigest()[:40]}.tar"
