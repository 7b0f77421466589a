"""Puts the outputs of a compute unit into a data unit's folder at a Pilot-Data, and takes them away again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType

from pilot_data import markers
from pilot_data.adaptors.file import FileStorage
from pilot_data.catalogue import PilotDataRecord
from pilot_data.entries import Entry, Item, Outcome
from pilot_data.errors import TransferError
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.moving import first_error, move, present_at
from pilot_data.origins import record_of
from pilot_data.plan import make_plan
from pilot_data.replicas import open_replica
from pilot_data.retry import move_with_retries
from pilot_data.storage import Access, Storage
from pilot_protocol.data_records import FileRecord

from .hard_links import put_linked

logger = logging.getLogger(__name__)

_PART = 1
"""Of files that no description names, see `takeover`."""


class Putting(AbstractContextManager["Putting"]):
    """Outputs on their way to one Pilot-Data. Leaving its context lets go of the storage.

    Args:
        source: Folder of the compute unit.
        store: The Pilot-Data.
        data_unit: Id of the data unit.
        outputs: What is put.
        is_settled: Whether nobody writes to the folder any more: its files may be linked then.
    """

    def __init__(
        self,
        source: FileStorage,
        store: PilotDataRecord,
        data_unit: str,
        outputs: Sequence[Entry],
        *,
        is_settled: bool,
    ) -> None:
        folder = markers.folder_here(store)
        location = Location("file", path=f"{folder}/{data_unit}")
        self._source = source
        self._seen = FileStorage(location, Access()) if folder else None
        self._target: Storage = self._seen or open_replica(store, data_unit)
        self._is_settled = is_settled
        self._items = [Item(entry, entry.path) for entry in outputs]

    def run(self, job: Job) -> list[FileRecord]:
        """Put everything, and return what is to be known of it.

        Raises:
            TransferError: Something could not be put.
        """
        plan = make_plan(self._items, {}, self._target.capabilities)
        landed = {item.target: record_of(item, _PART) for item in self._items}
        outcomes = move_with_retries(partial(self._move, job=job), plan.items, job)
        error = first_error([*plan.refused, *_noted(outcomes, landed)])
        if error is not None:
            raise error
        return list(landed.values())

    def undo(self, known: set[str]) -> None:
        """Take away what was put; not what others have put in its place, and are about to tell.

        Args:
            known: Paths of files that the data unit has: these stay, somebody else may have brought them.
        """
        try:
            self._target.discard_many(self._items)
            plan = make_plan(self._items, present_at(self._target), self._target.capabilities)
            self._target.remove_many([item.target for item in plan.unchanged if item.target not in known])
        except TransferError as error:
            logger.warning("outputs.left %s", error, extra={"action": "outputs.left"})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._target.close()

    def _move(self, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        if self._seen is not None and self._is_settled:
            return put_linked(self._source, self._seen, items, job)
        return move(self._source, self._target, items, job)


def _noted(outcomes: Iterator[Outcome], landed: dict[str, FileRecord]) -> Iterator[Outcome]:
    """Take note of checksums, and yield the outcomes that are errors."""
    for outcome in outcomes:
        path = outcome.item.target
        if outcome.error is not None:
            yield outcome
        elif outcome.checksum:
            landed[path] = landed[path]._replace(checksum=outcome.checksum)
