"""ETags: of objects put by one request the MD5 of the content, of others one of their parts' MD5s. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

from .keys import MIB

_WHOLE = re.compile(r"[0-9a-f]{32}")
_OF_PARTS = re.compile(r"[0-9a-f]{32}-([1-9][0-9]{0,4})")
_USUAL_MIB = (5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512, 1024)


def is_md5(etag: str) -> bool:
    """Return whether an ETag may be the MD5 of a content; that of an encrypted object may look so, too."""
    return _WHOLE.fullmatch(etag) is not None


def etag_of_parts(digests: Sequence[bytes]) -> str:
    """Return the ETag of an object by the MD5s of its parts."""
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(digests)}"


def part_size_of(etag: str, size: int, own: int) -> int:
    """Return in which parts an object was put; 0 when its ETag does not tell.

    Args:
        etag: Of the object.
        size: Bytes of the object.
        own: How we would have cut it.
    """
    if is_md5(etag):
        return max(size, 1)
    found = _OF_PARTS.fullmatch(etag)
    if found is None:
        return 0
    count = int(found[1])
    fitting = (part for part in (own, *(mib * MIB for mib in _USUAL_MIB)) if -(-size // part) == count)
    return next(fitting, 0)


def header_of(digest: bytes) -> str:
    """Return an MD5 as the header ``Content-MD5`` has it."""
    return base64.b64encode(digest).decode()


class EtagHash:
    """Finds the ETag of a content that comes block by block.

    Args:
        part: Bytes of each part.
        single: Whether the object was put by one request.
    """

    def __init__(self, part: int, *, single: bool) -> None:
        self._part = part
        self._single = single
        self._hash = hashlib.md5(usedforsecurity=False)
        self._room = part
        self._digests: list[bytes] = []

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            piece = view[: self._room]
            self._hash.update(piece)
            self._room -= len(piece)
            view = view[len(piece) :]
            if not self._room:
                self._end_part()

    def etag(self) -> str:
        """Return the ETag of all that came."""
        if self._room < self._part or not self._digests:
            self._end_part()
        return self._digests[0].hex() if self._single else etag_of_parts(self._digests)

    def _end_part(self) -> None:
        self._digests.append(self._hash.digest())
        self._hash = hashlib.md5(usedforsecurity=False)
        self._room = self._part
