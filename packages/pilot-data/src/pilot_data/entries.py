"""What is moved: the files that a storage lists, the way that each takes, and how it ended. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .errors import TransferError

PARTIAL_PREFIX = ".pilot-part-"
"""How the names of files begin that have not arrived whole; storages do not list them."""

MARKER_PREFIX = ".pilot-data-pd-"
"""How the names of the files begin by which Pilot-Data are known again; storages do not list them, see `markers`."""


@dataclass(frozen=True)
class Entry:
    """A file, a symbolic link or an empty folder of a storage.

    Attributes:
        path: Below the root of the storage, ``/`` between names; bytes that are no UTF-8 as surrogates (PEP 383).
        size: Bytes; of the file that a link leads to; 0 for folders.
        mtime_ns: When its content last changed, nanoseconds since 1970; 0 where the storage does not know.
        mode: Permission bits; 0 where the storage has none.
        link: Where a symbolic link points, as it says; empty for others.
        is_folder: True for an empty folder; others are seen by their files.
        is_broken: True for a link that leads to no regular file.
        checksum: SHA-256, 64 hexadecimal digits; empty where it is not known without reading.
    """

    path: str
    size: int = 0
    mtime_ns: int = 0
    mode: int = 0
    link: str = ""
    is_folder: bool = False
    is_broken: bool = False
    checksum: str = ""

    @property
    def has_content(self) -> bool:
        """Whether there are bytes to move; links and empty folders are made anew."""
        return not self.link and not self.is_folder

    @property
    def bytes_to_move(self) -> int:
        """How many bytes move when it is copied."""
        return self.size if self.has_content else 0


@dataclass(frozen=True)
class Item:
    """A file on its way.

    Attributes:
        entry: At the source. A ``link`` is made as one; an entry without is copied with its content.
        target: Path below the root of the target.
    """

    entry: Entry
    target: str

    @property
    def partial(self) -> str:
        """Path below the target's root of what has arrived so far.

        The name follows from the source's size and time, so that another attempt at the same file goes on with it, one
        at a changed file does not, and two that work at once write the same bytes to the same places.
        """
        folder, slash, name = self.target.rpartition("/")
        facts = f"{name}\0{self.entry.size}\0{self.entry.mtime_ns}\0{self.entry.checksum}"
        digest = hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()
        return f"{folder}{slash}{PARTIAL_PREFIX}{digest[:20]}"


@dataclass(frozen=True)
class Outcome:
    """How it went with one file.

    Attributes:
        item: The file.
        checksum: SHA-256 of what has landed; empty when none was asked for, or nothing landed.
        error: None when the file stands whole and verified under its name.
    """

    item: Item
    checksum: str = ""
    error: TransferError | None = None


def is_listed(path: str) -> bool:
    """Return whether a storage lists what has this path: a user's file, not one of the software's own."""
    return not path.rpartition("/")[2].startswith((PARTIAL_PREFIX, MARKER_PREFIX))


def is_partial(path: str) -> bool:
    """Return whether a path is that of a file that has not arrived whole."""
    return path.rpartition("/")[2].startswith(PARTIAL_PREFIX)
