"""The head's part of the start journal: notes starts and confirmed ends, and removes segments nobody needs any more.

A segment is removed when it is closed and everything in it was confirmed at least one durability window ago: so long
Redis may still come back without its last seconds, and the ends are then told again. What was started and has not
ended, and why it is to end, is carried over when the head's own segment is closed. Times are those of a clock that
never goes back: what a file system says about the age of a file may come from another clock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Callable, NamedTuple

from pilot_protocol.errors import SubmissionError

from .journal import DURABILITY_WINDOW_S, JournalWriter, Recovery, read_records, recover, segments
from .unit_record import Cause

UnitAttempt = tuple[str, int]


def journal_of(sandbox: Path) -> str:
    """Return the folder of a pilot's journal."""
    return str(sandbox / "journal")


class Handed(NamedTuple):
    """A unit that is with an executor."""

    id: str
    attempt: int
    times: int
    """For the how many-th time it was handed over."""
    is_chained: bool
    """Whether it starts when another unit ends, as far as the head knows."""
    cause: Cause | None = None
    """Why it was told to end."""


_LOOK_EVERY_S = 5.0
_MARGIN_S = 5.0
"""How much earlier than the head hears of an end an executor may have written it down."""


class JournalKeeper:
    """Journal of one pilot as its head sees it.

    Args:
        directory: Where all processes of the agent keep their segments.
        running: Returns the units that are with executors.
        window_s: So long confirmed ends are kept; never shorter than the default, nor than the lease.

    Raises:
        SubmissionError: The directory cannot be written.
    """

    def __init__(
        self,
        directory: str,
        running: Callable[[], Iterable[Handed]],
        window_s: float = DURABILITY_WINDOW_S,
    ) -> None:
        self._directory = directory
        self._window_s = window_s
        self._running = running
        try:
            self._writer = JournalWriter(directory, "head")
        except OSError as error:
            raise SubmissionError(
                f"the agent's journal {directory} cannot be written: {error.strerror}; "
                "give the pilot a working_directory in which there is room and you may write"
            ) from error
        self._looked_s = float("-inf")
        self._closed_s: dict[str, float] = {}
        """When each closed segment was first seen to be closed."""
        self._marks: deque[tuple[float, float]] = deque()
        """A time, and what :meth:`remove_old` was told then."""
        self._settled_s = float("-inf")
        """Every end that the head had heard of by then was confirmed at least one durability window ago."""

    def recover(self) -> Recovery:
        """Return what earlier heads and executors left behind."""
        return recover(read_records(self._directory, segments(self._directory)))

    def note_starts(self, units: Iterable[Handed]) -> None:
        """Write down units that are about to be handed to an executor.

        Raises:
            OSError: The disk is full or gone.
        """
        self._writer.append(_starts(units))

    def note_causes(self, units: Iterable[tuple[str, int, Cause]]) -> None:
        """Write down why units are about to be told to end: their ends alone do not say so.

        Raises:
            OSError: The disk is full or gone.
        """
        self._writer.append(_causes(units))

    def note_confirmed(self, units: Iterable[UnitAttempt]) -> None:
        """Write down ends that Redis has confirmed.

        Raises:
            OSError: The disk is full or gone.
        """
        self._writer.append([("R", name, attempt) for name, attempt in units])
        if self._writer.full:
            running = list(self._running())
            told = [(unit.id, unit.attempt, unit.cause) for unit in running if unit.cause]
            self._writer.rotate([*_starts(running), *_causes(told)])

    def remove_old(self, confirmed_s: float, now_s: float) -> None:
        """Remove the segments that nobody needs any more, now and then.

        Args:
            confirmed_s: Every end that the head had heard of by then is confirmed.
            now_s: The time.

        Raises:
            OSError: A segment cannot be removed.
        """
        if now_s < self._looked_s + _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        self._marks.append((now_s, confirmed_s))
        while self._marks[0][0] <= now_s - self._window_s:
            self._settled_s = self._marks.popleft()[1]
        self._note_closed(now_s)
        for name, closed_s in list(self._closed_s.items()):
            if closed_s + _MARGIN_S <= self._settled_s:
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._directory, name))
                del self._closed_s[name]

    def _note_closed(self, now_s: float) -> None:
        names = segments(self._directory)
        newest = {name.split(".")[0]: name for name in names}
        for name in names:
            if name != newest[name.split(".")[0]]:
                self._closed_s.setdefault(name, now_s)

    def close(self) -> None:
        """Close the head's segment."""
        self._writer.close()


def _starts(units: Iterable[Handed]) -> list[tuple[str | int, ...]]:
    # Hardly any unit comes back from an executor: the others get the shorter record.
    return [
        ("C" if is_chained else "S", name, attempt, *((times,) if times > 1 else ()))
        for name, attempt, times, is_chained, _ in units
    ]


def _causes(units: Iterable[tuple[str, int, Cause]]) -> list[tuple[str | int, ...]]:
    return [("T", name, attempt, *cause) for name, attempt, cause in units]
