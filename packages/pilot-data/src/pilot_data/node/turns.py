"""Lets deliveries of files of one name to one data unit take turns, so that what is told last is what lies there."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pilot_data.job import Job


class Turns:
    """Who delivers what just now, in this process."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, str]] = set()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, data_unit: str, paths: Iterable[str], job: Job) -> Iterator[None]:
        """Deliver files, as soon as nobody else delivers any of these to the data unit.

        Raises:
            CanceledError: The job was canceled before; see `wake`.
        """
        wanted = {(data_unit, path) for path in paths}
        with self._changed:
            while not self._taken.isdisjoint(wanted):
                job.check()
                self._changed.wait()
            self._taken |= wanted
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()

    def wake(self) -> None:
        """Let all who wait look whether they are canceled."""
        with self._changed:
            self._changed.notify_all()
