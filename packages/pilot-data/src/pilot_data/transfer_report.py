"""How a transfer went, and who is told while it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .entries import Outcome
from .errors import TransferError
from .plan import Plan


@dataclass(frozen=True)
class Report:
    """The end of a transfer.

    Attributes:
        moved: How many files, links and empty folders have landed.
        bytes: Their content.
        unchanged: How many were at the target already.
        removed: How many were removed at the target.
        failures: What has not landed, each with its error.
        left: How many were not tried, because the transfer stopped.
        stopped: Why it stopped; None when everything was tried.
    """

    moved: int = 0
    bytes: int = 0
    unchanged: int = 0
    removed: int = 0
    failures: tuple[Outcome, ...] = ()
    left: int = 0
    stopped: TransferError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether everything has landed."""
        return not self.failures and self.stopped is None


class Listener:
    """Is told how far a transfer has come; bytes are told by `Job.on_bytes`. Derive from it what wants to know."""

    def planned(self, files: int, size: int) -> None:
        """So many files, of so many bytes, are to be moved."""

    def ended(self, outcome: Outcome) -> None:
        """A file has landed, or has failed for good."""

    def removed(self, paths: Sequence[str]) -> None:
        """These were removed at the target."""


class Tally:
    """Counts what a `Report` says.

    Args:
        listener: Is told, too.

    Attributes:
        failures: What has not landed so far.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._planned = 0
        self._moved = 0
        self._bytes = 0
        self._unchanged = 0
        self._removed = 0
        self.failures: list[Outcome] = []

    def planned(self, plans: Sequence[Plan]) -> None:
        """Count what is to be done, and what cannot be."""
        refused = [outcome for plan in plans for outcome in plan.refused]
        self._planned = sum(len(plan.items) for plan in plans) + len(refused)
        self._unchanged = sum(len(plan.unchanged) for plan in plans)
        self._listener.planned(self._planned, sum(plan.bytes for plan in plans))
        for outcome in refused:
            self.ended(outcome)

    def ended(self, outcome: Outcome) -> None:
        """Count a file that has landed or failed."""
        if outcome.error is None:
            self._moved += 1
            self._bytes += outcome.item.entry.bytes_to_move
        else:
            self.failures.append(outcome)
        self._listener.ended(outcome)

    def removed(self, paths: Sequence[str]) -> None:
        """Count what was removed."""
        self._removed += len(paths)
        self._listener.removed(paths)

    def report(self, stopped: TransferError | None = None) -> Report:
        """Return what was counted."""
        return Report(
            moved=self._moved,
            bytes=self._bytes,
            unchanged=self._unchanged,
            removed=self._removed,
            failures=tuple(self.failures),
            left=self._planned - self._moved - len(self.failures),
            stopped=stopped,
        )
