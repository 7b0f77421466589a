"""The head's part of the start journal: notes starts and confirmed ends, and removes segments nobody needs any more.

A segment is removed when it is closed and everything in it was confirmed at least one durability window ago: so long
Redis may still come back without its last seconds, and the ends are then told again. What was started and has not
ended is carried over when the head's own segment is closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Callable

from .journal import DURABILITY_WINDOW_S, JournalWriter, Recovery, read_records, recover, segments

UnitAttempt = tuple[str, int]

_MARGIN_S = 5.0
"""How much later than its end an executor may have written to a segment's neighbour."""


class JournalKeeper:
    """Journal of one pilot as its head sees it.

    Args:
        directory: Where all processes of the agent keep their segments.
        running: Returns the units that were handed to executors and have not ended.
    """

    def __init__(self, directory: str, running: Callable[[], Iterable[UnitAttempt]]) -> None:
        self._directory = directory
        self._running = running
        self._writer = JournalWriter(directory, "head")

    def recover(self) -> Recovery:
        """Return what earlier heads and executors left behind."""
        return recover(read_records(self._directory, segments(self._directory)))

    def note_starts(self, units: Iterable[UnitAttempt]) -> None:
        """Write down units that are about to be handed to an executor.

        Raises:
            OSError: The disk is full or gone.
        """
        self._writer.append([("S", name, attempt) for name, attempt in units])

    def note_confirmed(self, units: Iterable[UnitAttempt]) -> None:
        """Write down ends that Redis has confirmed.

        Raises:
            OSError: The disk is full or gone.
        """
        self._writer.append([("R", name, attempt) for name, attempt in units])
        if self._writer.full:
            self._writer.rotate([("S", name, attempt) for name, attempt in self._running()])

    def remove_old(self, confirmed_until_s: float) -> None:
        """Remove closed segments.

        Args:
            confirmed_until_s: Every end written before this time (``time.time``) was confirmed.
        """
        oldest_needed = confirmed_until_s - DURABILITY_WINDOW_S - _MARGIN_S
        newest: dict[str, str] = {}
        names = segments(self._directory)
        for name in names:
            newest[name.split(".")[0]] = name
        for name in names:
            path = os.path.join(self._directory, name)
            if name not in newest.values() and os.path.getmtime(path) < oldest_needed:
                os.unlink(path)

    def close(self) -> None:
        """Close the head's segment."""
        self._writer.close()
