"""What is in the bundles of a storage: beside each bundle lies a list of its files, as JSON. Pure.

The list is stored before its bundle is relied on, and says of each file what a listing says: path, size, time, mode, SHA-256,
and where its content begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .bundles import Place
from .entries import Entry
from .errors import TransferError

SUFFIX = ".json"


@dataclass(frozen=True)
class Bundled:
    """A file in a bundle."""

    entry: Entry
    place: Place


def list_of(bundle: str) -> str:
    """Return the path of the list of a bundle's files."""
    return f"{bundle}{SUFFIX}"


def encode(files: Iterable[Bundled]) -> bytes:
    """Return the list of a bundle's files."""
    rows = [
        [
            file.entry.path,
            file.entry.size,
            file.entry.mtime_ns,
            file.entry.mode,
            file.entry.checksum,
            file.place.offset,
        ]
        for file in files
    ]
    return json.dumps(rows, separators=(",", ":")).encode("ascii")


def decode(bundle: str, content: bytes) -> list[Bundled]:
    """Read the list of a bundle's files.

    Args:
        bundle: Its path.
        content: As `encode` made it.

    Raises:
        TransferError: It is none.
    """
    try:
        return [_row(bundle, row) for row in json.loads(content)]
    except (ValueError, TypeError) as error:
        raise TransferError(f"{list_of(bundle)} is no list of a bundle's files: {error}") from None


def _row(bundle: str, row: Any) -> Bundled:
    path, size, mtime_ns, mode, checksum, offset = row
    texts, numbers = (path, checksum), (size, mtime_ns, mode, offset)
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise ValueError(f"a row {row!r}")
    return Bundled(Entry(path, size, mtime_ns, mode, checksum=checksum), Place(bundle, offset, size))
