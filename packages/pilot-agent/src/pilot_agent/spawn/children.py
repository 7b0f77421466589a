"""Whether this process has children that it did not start: orphans of units, which it adopted as subreaper.

Linux lists the children of a process; reading the list costs some microseconds, however many processes the machine runs.
"""

from __future__ import annotations

import os
from collections.abc import Container

_LIST = "/proc/self/task/{}/children"
_READ_BYTES = 16 * 1024


class Children:
    """The children of this process, which has one thread."""

    def __init__(self) -> None:
        try:
            self._fd = os.open(_LIST.format(os.getpid()), os.O_RDONLY)
        except FileNotFoundError:
            # A kernel built without CONFIG_PROC_CHILDREN.
            self._fd = -1

    def has_orphans(self, leaders: Container[int]) -> bool:
        """Tell whether any child is not one of `leaders`, dead ones that were not reaped included.

        True where the kernel does not tell.
        """
        return self._fd < 0 or any(int(pid) not in leaders for pid in self._read().split())

    def _read(self) -> bytes:
        listed = b""
        while part := os.pread(self._fd, _READ_BYTES, len(listed)):
            listed += part
        return listed
