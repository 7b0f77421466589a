"""What a transfer is asked to keep to, and whom it tells how far it has come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from .errors import CanceledError

CHECKSUMS = ("sha256", "none")


class Pace(Protocol):
    """How fast a transfer may be."""

    def pause_s(self, count: int) -> float:
        """Take note of bytes that were moved, and return for how many seconds to wait before moving more."""


class Bandwidth:
    """A limit that any number of transfers keep to together.

    Args:
        bytes_per_s: How many bytes may move in a second.
        clock: Seconds that only go up.
    """

    def __init__(self, bytes_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = bytes_per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock()

    def pause_s(self, count: int) -> float:
        """See `Pace.pause_s`."""
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + count / self._per_s
            return self._free_at - now


def untold(_count: int) -> None:
    """Tell nobody."""


@dataclass(eq=False)
class Job:
    """One transfer, as the storages see it. May be used by several threads.

    Attributes:
        checksum: ``sha256``, or ``none`` to compare sizes only.
        on_bytes: Told the number of bytes that have moved since it was last told.
        bandwidth: A limit to keep to; None for none.
        durable: Whether files are flushed to the disk before they count as landed.
    """

    checksum: str = "sha256"
    on_bytes: Callable[[int], None] = untold
    bandwidth: Pace | None = None
    durable: bool = False
    _canceled: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def verifies(self) -> bool:
        """Whether contents are compared, not sizes only."""
        return self.checksum != "none"

    def unheard(self) -> Job:
        """Return the same job for bytes on half of their way: not counted, not flushed, and canceled with this one."""
        return replace(self, on_bytes=untold, durable=False)

    def cancel(self) -> None:
        """End the transfer: its next call to `moved` or `check` raises."""
        self._canceled.set()

    def check(self) -> None:
        """Go on.

        Raises:
            CanceledError: The transfer was canceled.
        """
        if self._canceled.is_set():
            raise CanceledError("the transfer was canceled")

    def moved(self, count: int) -> None:
        """Take note of bytes that were moved, and wait as long as the limit asks for.

        Raises:
            CanceledError: The transfer was canceled.
        """
        self.on_bytes(count)
        if self.bandwidth is not None:
            self._canceled.wait(self.bandwidth.pause_s(count))
        self.check()

    def wait(self, seconds: float) -> None:
        """Wait.

        Raises:
            CanceledError: The transfer was canceled, before or meanwhile.
        """
        self._canceled.wait(seconds)
        self.check()
