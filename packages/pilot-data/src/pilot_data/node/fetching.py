"""Fetches files of a data unit from the nearest of its replicas, with all checks, into a folder here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from pilot_data.adaptors.file import FileStorage
from pilot_data.catalogue import PilotDataRecord
from pilot_data.entries import Item
from pilot_data.errors import CanceledError, NoSpaceError, TransferError
from pilot_data.job import Job
from pilot_data.moving import first_error, move
from pilot_data.origins import lot_of_replica
from pilot_data.plan import make_plan
from pilot_data.retry import move_with_retries
from pilot_protocol.data_records import FileRecord

logger = logging.getLogger(__name__)

_READ = 0o444
_WRITE = 0o222


def fetch(
    data_unit: str,
    stores: Sequence[PilotDataRecord],
    job: Job,
    target: FileStorage,
    files: Sequence[FileRecord],
) -> None:
    """Fetch files, from one replica or another.

    Args:
        data_unit: Its id.
        stores: Pilot-Data that have it whole, the nearest first.
        job: What to keep to.
        target: Where they go. They become read-only.
        files: Which ones.

    Raises:
        TransferError: No replica gives all of them; the error is the first one's.
    """
    errors: list[TransferError] = []
    for store in stores:
        try:
            _fetch_from(store, data_unit, job, target, files)
            return
        except (CanceledError, NoSpaceError):
            raise
        except TransferError as error:
            logger.warning("fetch.failed %s from %s: %s", data_unit, store.id, error,
                           extra={"action": "fetch.failed"})  # fmt: skip
            errors.append(error)
    raise errors[0]


def _fetch_from(
    store: PilotDataRecord, data_unit: str, job: Job, target: FileStorage, files: Sequence[FileRecord]
) -> None:
    lot = lot_of_replica(store, data_unit, files)
    plan = make_plan(map(_read_only, lot.items), {}, target.capabilities)
    with closing(lot.open()) as source:
        outcomes = move_with_retries(partial(move, source, target, job=job), plan.items, job)
        error = first_error([*plan.refused, *outcomes])
    if error is not None:
        raise error


def _read_only(item: Item) -> Item:
    """Return an item whose file is nobody's to write: compute units share it."""
    if not item.entry.has_content:
        return item
    mode = (item.entry.mode | _READ) & ~_WRITE & 0o777
    return replace(item, entry=replace(item.entry, mode=mode))
