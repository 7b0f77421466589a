"""Keeps a target what a changing local folder is. Needs the library watchdog, which comes with the extra ``watch``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from pilot_protocol.errors import DescriptionError

from .entries import Entry
from .errors import TransferError
from .job import Job
from .locations import parse
from .transfer_legs import Leg, Request
from .transfer_report import Listener, Report
from .transfers import Transfer

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

SETTLE_S = 0.3
"""For how long nothing must change before a round begins."""
LONGEST_SETTLE_S = 5.0
"""After which a round begins, though something still changes."""

_READS = {"opened", "closed_no_write"}
"""Events that our own reading causes."""


class Changes(AbstractContextManager["Changes"]):
    """Notices that something below a local folder has changed. Leaving its context ends that.

    Args:
        folder: Path or ``file:`` URL.

    Raises:
        DescriptionError: The library is not installed, or it is no local folder.
        TransferError: The system refuses.
    """

    def __init__(self, folder: str) -> None:
        self._changed = threading.Event()
        location = parse(folder, "source")
        if location.scheme != "file":
            raise DescriptionError(
                f"source {folder!r} is not on this machine; only local folders can be watched", key="source"
            )
        self._observer = _observer(location.path, self._noticed)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._observer.stop()
        self._observer.join()

    def wait(self, job: Job) -> None:
        """Wait for a change, and for an end of changes.

        Raises:
            CanceledError: The job was canceled, and `wake` called.
        """
        self._changed.wait()
        job.check()
        latest = time.monotonic() + LONGEST_SETTLE_S
        self._changed.clear()
        while self._changed.wait(SETTLE_S) and time.monotonic() < latest:
            job.check()
            self._changed.clear()

    def wake(self) -> None:
        """End the waiting."""
        self._changed.set()

    def _noticed(self, event: FileSystemEvent) -> None:
        if event.event_type not in _READS:
            self._changed.set()


def rounds(request: Request, changes: Changes, job: Job, listener: Listener) -> Generator[Report]:
    """Copy what has changed, and again whenever something changes; yield how each round went.

    The target is listed once: what is there later is known from what was copied.

    Args:
        request: What `Request.mirrors` what.
        changes: Of its source; began before, so that none is missed.
        job: Ends the rounds when it is canceled.
        listener: Is told of each round.

    Raises:
        CanceledError: The job was canceled while nothing was on its way.
        TransferError: A storage cannot be read.
    """
    present: dict[str, Entry] | None = None
    with Transfer(request, job, listener) as transfer:
        while True:
            legs = transfer.plan(present)
            report = transfer.run(legs)
            yield report
            if report.stopped is not None:
                return
            present = _present(legs[0], report, deletes=request.deletes)
            changes.wait(job)


def _present(leg: Leg, report: Report, *, deletes: bool) -> dict[str, Entry]:
    """Return what is at the target after a round; what failed is left out, so that it is copied again."""
    failed = {outcome.item.target for outcome in report.failures}
    extra = () if deletes and not failed else leg.plan.extra
    items = (*leg.plan.items, *leg.plan.unchanged)
    arrived = {
        item.target: replace(item.entry, path=item.target) for item in items if item.target not in failed
    }
    return {**{entry.path: entry for entry in extra}, **arrived}


def _observer(folder: str, noticed: Callable[[FileSystemEvent], None]) -> BaseObserver:
    try:
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer
    except ImportError:
        raise DescriptionError(
            'watching needs the library watchdog; install it with: pip install "pilot-data[watch]"'
        ) from None

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            noticed(event)

    observer: BaseObserver = Observer()
    try:
        observer.schedule(Handler(), folder, recursive=True)
        observer.start()
    except OSError as error:
        raise TransferError(f"cannot watch {folder}: {error.strerror}") from None
    return observer
