"""Ctrl-C and a request to terminate cancel the transfer, which then tidies up; a second Ctrl-C does not wait for that."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pilot_data.job import Job

from .exit_codes import CLOSED_PIPE, INTERRUPTED

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Why a transfer was canceled from outside.

    Args:
        job: Is canceled.
        wake: Called then, for what waits for something else.
    """

    def __init__(self, job: Job, wake: Callable[[], None]) -> None:
        self._job = job
        self._wake = wake
        self._exit_code = INTERRUPTED

    def signaled(self, number: int, _frame: FrameType | None) -> None:
        """Cancel; the next such signal ends the program at once."""
        self._exit_code = 128 + number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # In a thread: what was interrupted here may hold the very lock that canceling needs.
        threading.Thread(target=self._cancel).start()

    def _cancel(self) -> None:
        self._job.cancel()
        self._wake()

    def closed_pipe(self) -> None:
        """Cancel, because nobody reads any more what is told."""
        self._exit_code = CLOSED_PIPE
        self._cancel()

    @property
    def exit_code(self) -> int:
        """The exit code of a transfer that was canceled."""
        return self._exit_code


@contextmanager
def canceling(job: Job, wake: Callable[[], None] = lambda: None) -> Iterator[Interruption]:
    """Let signals cancel a job inside the context, and wake what waits."""
    interruption = Interruption(job, wake)
    before = {number: signal.signal(number, interruption.signaled) for number in _SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
