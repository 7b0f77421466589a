"""Copies what a user names to one target, and says how it went."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from .entries import Entry, Item, Outcome
from .errors import CanceledError, NoSpaceError, TransferError
from .job import Job
from .moving import batches, move
from .plan import in_the_way
from .retry import move_with_retries
from .storage import Storage
from .transfer_legs import Leg, OpenStorages, Request, legs_of
from .transfer_report import Listener, Report, Tally

logger = logging.getLogger(__name__)

BATCH = 10_000
"""How many files are handed to an adaptor at once: many, since some services do each lot as one task; bounded, since so
many may be on their way when a transfer is canceled."""


class Transfer(AbstractContextManager["Transfer"]):
    """Files from several sources to one target. Leaving its context closes all storages.

    Args:
        request: What is to be copied.
        job: What to keep to; cancels the transfer.
        listener: Is told how far it has come.
    """

    def __init__(self, request: Request, job: Job, listener: Listener | None = None) -> None:
        self._request = request
        self._job = job
        self._listener = listener or Listener()
        self._storages = OpenStorages()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._storages.close()

    def plan(self, present: Mapping[str, Entry] | None = None) -> tuple[Leg, ...]:
        """Look what is there, and return what has to move.

        Args:
            present: What is at the target, if that is known; it is looked up otherwise.

        Raises:
            DescriptionError: The names of sources and target do not fit together.
            TransferError: A source is missing, or a storage cannot be read.
        """
        return legs_of(self._request, self._storages, self._job, present)

    def run(self, legs: Sequence[Leg]) -> Report:
        """Move what was planned.

        Returns:
            How it went; an error of a storage as a whole, or that it was canceled, is in there.
        """
        tally = Tally(self._listener)
        tally.planned([leg.plan for leg in legs])
        try:
            for leg in legs:
                self._run_leg(leg, tally)
        except TransferError as error:
            return tally.report(error)
        return tally.report()

    def _run_leg(self, leg: Leg, tally: Tally) -> None:
        blocking = in_the_way(leg.plan) if self._request.deletes else []
        self._remove(leg.target, blocking, tally)
        for batch in batches(leg.plan.items, BATCH):
            self._move(leg, batch, tally)
        if self._request.deletes and not tally.failures:
            gone = set(blocking)
            extra = [entry.path for entry in leg.plan.extra if entry.path not in gone]
            self._remove(leg.target, extra, tally)

    def _move(self, leg: Leg, batch: Sequence[Item], tally: Tally) -> None:
        left = {item.target: item for item in batch}

        def moved(items: Sequence[Item]) -> Iterator[Outcome]:
            return move(leg.origin, leg.target, items, self._job)

        try:
            for outcome in move_with_retries(moved, batch, self._job):
                left.pop(outcome.item.target, None)
                tally.ended(outcome)
        except (CanceledError, NoSpaceError):
            if not self._request.keeps_partial:
                _discard(leg.target, list(left.values()))
            raise

    def _remove(self, target: Storage, paths: Sequence[str], tally: Tally) -> None:
        for batch in batches(paths, BATCH):
            self._job.check()
            target.remove_many(batch)
            tally.removed(batch)


def _discard(target: Storage, items: Sequence[Item]) -> None:
    try:
        target.discard_many(items)
    except TransferError as error:
        logger.warning("what has arrived of files could not be removed: %s", error)
