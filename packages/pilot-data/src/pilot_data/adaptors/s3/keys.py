"""How paths are keys, and how a file is cut into parts. Pure."""

from __future__ import annotations

from pilot_data.errors import TransferError
from pilot_data.local_files import below

MIB = 1 << 20
SMALL = 8 * MIB
"""Files of at most so many bytes are moved by one request."""

_PART = 16 * MIB
_MOST_PARTS = 9_000  # of the 10,000 that a service takes
_LONGEST_KEY = 1024


def key_of(prefix: str, path: str) -> str:
    """Return the key of a file.

    Args:
        prefix: Of the storage; may be empty.
        path: Below it; empty for the prefix itself.

    Raises:
        TransferError: The path leads elsewhere, or no key can be made of it.
    """
    inside = below("", path)[1:] if path else ""
    key = f"{prefix}/{inside}" if prefix and inside else prefix or inside
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise TransferError(f"{path!r} is no UTF-8, as keys of S3 are; rename it") from None
    if length > _LONGEST_KEY:
        raise TransferError(f"{path!r} makes a key of {length} bytes; S3 takes {_LONGEST_KEY}; shorten it")
    return key


def folder_of(prefix: str, path: str) -> str:
    """Return what the keys of all files below a path begin with."""
    key = key_of(prefix, path)
    return f"{key}/" if key else ""


def path_of(prefix: str, key: str) -> str:
    """Return the path that a key stands for, whatever it is; `key_of` refuses those that cannot be files."""
    return key[len(prefix) + 1 :] if prefix else key


def is_folder_mark(key: str, size: int) -> bool:
    """Return whether an object only says that there is a folder, as consoles make them."""
    return key.endswith("/") and size == 0


def fits_xml(key: str) -> bool:
    """Return whether a key arrives in an XML document as it is; control characters do not."""
    return all(letter >= " " for letter in key)


def part_size(size: int) -> int:
    """Return the bytes of each part of a file; the same each time, so that another attempt makes the same parts."""
    least = -(-size // _MOST_PARTS)
    return max(_PART, -(-least // MIB) * MIB)
