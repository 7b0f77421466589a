"""What we tell of an object beside its content. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pilot_data.entries import Item

CHECKSUM = "sha256"
SOURCE = "pilot-source"
"""Which file an object was put from, by its name, size and time; see `source_of`."""


def source_of(item: Item) -> str:
    """Return what is the same for two that put the same file."""
    return item.partial.rpartition("-")[2]


def metadata_of(item: Item, checksum: str) -> dict[str, str]:
    """Return the metadata of an object; time and mode as rclone writes them.

    Args:
        item: From where it is put.
        checksum: SHA-256 of the content; empty when it is not known before all of it is sent.
    """
    entry = item.entry
    found = {SOURCE: source_of(item)}
    if entry.mtime_ns:
        found["mtime"] = f"{entry.mtime_ns // 10**9}.{entry.mtime_ns % 10**9:09d}"
    if entry.mode:
        found["mode"] = f"{entry.mode:o}"
    if checksum:
        found[CHECKSUM] = checksum
    return found


def checksum_of(metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 that an object is said to have; empty for none."""
    found = metadata.get(CHECKSUM, "").lower()
    return found if len(found) == 64 and set(found) <= set("0123456789abcdef") else ""
