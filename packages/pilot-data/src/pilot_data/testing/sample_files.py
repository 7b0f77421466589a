"""Trees of files with all that makes file names and sizes hard."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from pilot_data.entries import MARKER_PREFIX, Entry, Item

MTIME_NS = 1_600_000_000_000_000_000
"""When sample files changed last; whole seconds, which all storages can tell that tell times."""

HARD_NAMES = (
    "plain.txt",
    "with blank.txt",
    " leading and trailing ",
    "line\nbreak",
    "tab\tand\rreturn",
    'quote\'s "double" `back`',
    "ünï¢ødé/日本語.dat",
    "-dash",
    "--help",
    "*?[a]{b}",
    "percent%20sign",
    "hash#question?and&plus+eq=",
    "back\\slash",
    "$HOME;rm -rf $(x)|>y",
    "~tilde",
    "deep/er/and/deeper/file",
    "deep/er/file",
    ".hidden/.file",
    "n" * 200,
)
SIZES = (0, 1, 4096, 32 * 1024 - 1, 32 * 1024 + 1, 255 * 1024, 1024 * 1024 + 7, 3 * 1024 * 1024)


def content(size: int, seed: int = 0) -> bytes:
    """Return bytes that look random and are the same each time."""
    if size == 0:
        return b""
    block = b"".join(hashlib.sha256(f"{seed}/{number}".encode()).digest() for number in range(2048))
    return (block * (size // len(block) + 1))[:size]


def write(root: str, path: str, data: bytes, mode: int = 0o640) -> Item:
    """Write a file below a folder, and return the item that copies it to the same path."""
    full = f"{root}/{path}"
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as file:
        file.write(data)
    os.chmod(full, mode)
    os.utime(full, ns=(MTIME_NS, MTIME_NS))
    return Item(Entry(path, size=len(data), mtime_ns=MTIME_NS, mode=mode), path)


def write_all(root: str, paths: Iterable[str], size: int = 100) -> list[Item]:
    """Write a file of its own content for each path."""
    return [write(root, path, content(size, seed)) for seed, path in enumerate(paths)]


def read_all(root: str) -> dict[str, bytes]:
    """Return the content of all files below a folder by their paths, without the markers of Pilot-Data."""
    return {os.path.relpath(full, root): _read(full) for full in _files(root)}


def _files(root: str) -> Iterator[str]:
    for folder, _folders, names in os.walk(root):
        yield from (f"{folder}/{name}" for name in names if not name.startswith(MARKER_PREFIX))


def _read(full: str) -> bytes:
    with open(full, "rb") as file:
        return file.read()
