"""What runs at a host to hash its files: any Python 3 there. Its text is sent; nothing is installed.

It reads records from its standard input, each ended by a zero byte: a size, a blank, a path. It writes a line for each,
in their order: the SHA-256, or ``-`` where there is no such regular file. A file that is smaller than the size is being
written: it is followed as it grows, until it has that size or its name is gone. Who asks with a size is told nothing of a
file whose name is another's by then. Answers are written a few at a time.
"""

from __future__ import annotations

import hashlib
import os
import select
import stat
import sys

_BLOCK = 256 << 10
_PROBE = b"/dev/null"
_PATIENCE_S = 0.005
_TOGETHER = 16


class Questions:
    """The records on standard input. Its end ends the program, whatever it is doing."""

    def __init__(self) -> None:
        self._data = b""

    def are_all_taken(self) -> bool:
        """Return whether the next one is still to come."""
        return b"\0" not in self._data

    def take(self) -> bytes:
        """Return the next one."""
        while self.are_all_taken():
            self._read()
        record, _, self._data = self._data.partition(b"\0")
        return record

    def look(self, seconds: float = 0.0) -> None:
        """See whether anybody still asks, for a while if need be."""
        if select.select([0], [], [], seconds)[0]:
            self._read()

    def _read(self) -> None:
        data = os.read(0, 65536)
        if not data:
            sys.exit(0)
        self._data += data


def digest(path: bytes, size: int, questions: Questions) -> str:
    """Return the SHA-256 of a file, and - where there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # what is a pipe waits for nobody
    except OSError:
        return "-"
    try:
        found = os.fstat(file)
        if path != _PROBE and not stat.S_ISREG(found.st_mode):
            return "-"
        answer = follow(file, size, found.st_size, questions)
        return "-" if size and not os.path.samestat(os.stat(path), found) else answer
    except OSError:
        return "-"
    finally:
        os.close(file)


def follow(file: int, size: int, present: int, questions: Questions) -> str:
    """Return the SHA-256 of an open file that will have a size, and has the present one."""
    found = hashlib.sha256()
    count = 0
    while count < max(size, present):
        data = os.read(file, _BLOCK)
        found.update(data)
        count += len(data)
        if data:
            questions.look()
            continue
        if count >= size:  # it has shrunk
            break
        if os.fstat(file).st_nlink == 0:
            return "-"
        questions.look(_PATIENCE_S)
    return found.hexdigest()


def main() -> None:
    """Answer until nobody asks any more."""
    questions = Questions()
    answers = []
    while True:
        size, _, path = questions.take().partition(b" ")
        answers.append(digest(path, int(size), questions))
        if questions.are_all_taken() or len(answers) == _TOGETHER:
            os.write(1, "".join(f"{answer}\n" for answer in answers).encode())
            answers.clear()


if __name__ == "__main__":
    main()
