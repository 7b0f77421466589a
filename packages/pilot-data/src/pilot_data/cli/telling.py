"""Tells how far a transfer has come: a bar on a terminal, a line for each file as JSON, a summary at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

import click

from pilot_data.entries import Outcome
from pilot_data.transfer_legs import Leg
from pilot_data.transfer_report import Listener, Report

from .canceling import Interruption
from .output import human, show_event, shown, tell

if TYPE_CHECKING:
    from tqdm import tqdm


class Telling(Listener, AbstractContextManager["Telling"]):
    """Tells of a transfer. Leaving its context takes the bar away.

    Args:
        interruption: Told when nobody reads the output any more.
        as_json: Whether each file is told on the standard output.
        quiet: Whether errors only are told to people.
    """

    def __init__(self, interruption: Interruption, *, as_json: bool, quiet: bool) -> None:
        self._interruption = interruption
        self._as_json = as_json
        self._quiet = quiet
        self._bar: tqdm | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def bytes(self, count: int) -> None:
        """So many more bytes have moved."""
        if self._bar is not None:
            self._bar.update(count)

    def planned(self, files: int, size: int) -> None:
        """See `Listener.planned`."""
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar(size)
        self._event("planned", files=files, bytes=size)

    def ended(self, outcome: Outcome) -> None:
        """See `Listener.ended`."""
        entry, target = outcome.item.entry, outcome.item.target
        if outcome.error is None:
            facts = {"bytes": entry.bytes_to_move, "checksum": outcome.checksum}
            self._event("copied", source=entry.path, target=target, **facts)
        else:
            kind = type(outcome.error).__name__
            self._event("failed", source=entry.path, target=target, error=str(outcome.error), kind=kind)

    def removed(self, paths: Sequence[str]) -> None:
        """See `Listener.removed`."""
        for path in paths:
            self._event("removed", target=path)

    def would(self, legs: Sequence[Leg], *, deletes: bool) -> None:
        """Tell what a transfer would do."""
        for leg in legs:
            for item in leg.plan.items:
                show_would(
                    "copy", item.entry.path, item.target, item.entry.bytes_to_move, as_json=self._as_json
                )
            for outcome in leg.plan.refused:
                self.ended(outcome)
                tell(str(outcome.error))
            for entry in leg.plan.extra if deletes else ():
                show_would("remove", "", entry.path, entry.size, as_json=self._as_json)

    def report(self, report: Report) -> None:
        """Tell how it went."""
        self._event("ended", moved=report.moved, bytes=report.bytes, unchanged=report.unchanged,
                    removed=report.removed, failed=len(report.failures), left=report.left,
                    error=str(report.stopped) if report.stopped else None)  # fmt: skip
        for outcome in report.failures:
            tell(f"{outcome.item.entry.path}: {outcome.error}")
        if report.stopped is not None:
            tell(
                f"{report.stopped}; {report.moved} of {report.moved + report.left + len(report.failures)} files landed"
            )
        elif not self._quiet:
            tell(summary(report))

    def _event(self, event: str, **facts: object) -> None:
        if not self._as_json:
            return
        try:
            show_event(event, **facts)
        except BrokenPipeError:
            self._as_json = False
            self._interruption.closed_pipe()


def show_would(what: str, source: str, target: str, size: int, *, as_json: bool) -> None:
    """Show what would be done with a file of so many bytes: ``copy`` or ``remove``; a source may be empty."""
    if as_json:
        facts = {"source": source} if source else {}
        show_event(f"would-{what}", **facts, target=target, bytes=size)
    else:
        click.echo(f"{what} {shown(target)} ({human(size)})")


def summary(report: Report) -> str:
    """Return how a transfer went, for people."""
    files = "1 file" if report.moved == 1 else f"{report.moved} files"
    parts = [f"{files} copied ({human(report.bytes)})"]
    parts += [f"{report.unchanged} unchanged"] if report.unchanged else []
    parts += [f"{report.removed} removed"] if report.removed else []
    parts += [f"{len(report.failures)} failed"] if report.failures else []
    return ", ".join(parts)


def _bar(size: int) -> tqdm:
    """Return a bar with rate and time left; it is imported when it is shown."""
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread of its own
    return tqdm(total=size, unit="B", unit_scale=True, unit_divisor=1024, leave=False, file=sys.stderr)
