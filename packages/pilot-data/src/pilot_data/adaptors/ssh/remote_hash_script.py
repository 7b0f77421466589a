"""What runs at a host to hash its files: any Python 3 there. Its text is sent; nothing is installed.

It reads records from its standard input, each ended by a zero byte: a size, a blank, a path. It writes a line for each,
in their order: the SHA-256, or ``-`` where there is no such regular file. A file that is smaller than the size is being
written: it is followed as it grows, until it has that size or its name is gone.
"""

from __future__ import annotations

import hashlib
import os
import select
import stat
import sys

_BLOCK = 1 << 18
_PROBE = b"/dev/null"
_PATIENCE_S = 0.005


class Questions:
    """The records on standard input. Its end ends the program, whatever it is doing."""

    def __init__(self) -> None:
        self._data = b""

    def take(self) -> bytes:
        """Return the next one."""
        while b"\0" not in self._data:
            self._read()
        record, _, self._data = self._data.partition(b"\0")
        return record

    def idle(self) -> None:
        """Wait a little for the file to grow, and see whether anybody still asks."""
        if select.select([0], [], [], _PATIENCE_S)[0]:
            self._read()

    def _read(self) -> None:
        data = os.read(0, 65536)
        if not data:
            sys.exit(0)
        self._data += data


def digest(path: bytes, size: int, questions: Questions) -> str:
    """Return the SHA-256 of a file, and - where there is none."""
    try:
        if path != _PROBE and not stat.S_ISREG(os.stat(path).st_mode):
            return "-"
        with open(path, "rb", buffering=0) as file:
            return follow(file.fileno(), size, questions)
    except OSError:
        return "-"


def follow(file: int, size: int, questions: Questions) -> str:
    """Return the SHA-256 of an open file that will have a size."""
    found = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK))
    count = 0
    while True:
        got = os.readv(file, [block])
        if got:
            found.update(block[:got])
            count += got
        elif count >= size:
            return found.hexdigest()
        elif os.fstat(file).st_nlink == 0:
            return "-"
        else:
            questions.idle()


def main() -> None:
    """Answer until nobody asks any more."""
    questions = Questions()
    while True:
        size, _, path = questions.take().partition(b" ")
        os.write(1, digest(path, int(size), questions).encode() + b"\n")


if __name__ == "__main__":
    main()
