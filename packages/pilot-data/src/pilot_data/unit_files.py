"""Adds files to a data unit that is in place, and takes files out of it, at all its replicas."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing

from pilot_protocol.errors import DescriptionError, StateError, TransferError
from pilot_protocol.states import State, is_final

from .catalogue import Catalogue, unit_in
from .data_session import DataSession
from .job import untold
from .origins import Lot, record_of
from .replicas import open_replica, whole_at

logger = logging.getLogger(__name__)


def settled_at(catalogue: Catalogue, data_unit: str, verb: str) -> list[str]:
    """Return the Pilot-Data that have a data unit whose files may change.

    Args:
        catalogue: Knows it.
        data_unit: Its id.
        verb: What is to be done, for the error.

    Raises:
        StateError: It is kept nowhere, has ended, or files of it are moved just now.
    """
    record = unit_in(catalogue, data_unit)
    if record.state is State.New:
        raise StateError(
            f"data unit {data_unit} is New, and not at any Pilot-Data yet; bring it to one with add_pilot_data() before "
            f"{verb}"
        )
    is_moving = any(replica.is_in_work for replica in record.replicas.values())
    if record.state is not State.Running or is_moving:
        state = record.state if is_final(record.state) else State.Pending
        raise StateError(f"data unit {data_unit} is {state}; {verb} needs one that is Running: wait() first")
    return whole_at(record)


def add(
    session: DataSession,
    data_unit: str,
    lots: Sequence[Lot],
    stores: Sequence[str],
    on_bytes: Callable[[int], None] = untold,
) -> None:
    """Add files, and return when they are at every replica.

    Args:
        session: Of the data unit.
        data_unit: Its id.
        lots: Where the files come from.
        stores: The Pilot-Data that have it, see `settled_at`.
        on_bytes: Told the number of bytes that have moved to one of them since it was last told.

    Raises:
        DescriptionError: The data unit has a file of that name.
        TransferError: A file could not be moved; then the data unit is as it was.
        StateError: The data unit has ended.
    """
    catalogue = session.catalogue
    known = {file.path: file.part for file in catalogue.files(data_unit)}
    part = 1 + max(known.values(), default=-1)
    fresh = [record_of(item, part) for lot in lots for item in lot.items]
    for file in fresh:
        if file.path in known:
            raise DescriptionError(
                f"data unit {data_unit} has a file {file.path!r}; remove_files() it first, or rename the new one",
                key="file_urls",
                value=file.path,
            )
    catalogue.put_files(data_unit, fresh)
    try:
        for store in stores:
            session.stager.add(data_unit, store, lots, on_bytes)
    except BaseException:  # Ctrl-C as well: what came only in part goes
        _take_back(catalogue, data_unit, [file.path for file in fresh], stores)
        raise


def remove(catalogue: Catalogue, data_unit: str, names: Sequence[str], stores: Sequence[str]) -> None:
    """Remove files from a data unit and from its replicas.

    Raises:
        TransferError: A storage cannot be reached; say it again when it can.
    """
    for store in map(catalogue.pilot_data, stores):
        if store is not None:
            with closing(open_replica(store, data_unit)) as storage:
                storage.remove_many(names)
    catalogue.remove_files(data_unit, names)


def _take_back(catalogue: Catalogue, data_unit: str, names: Sequence[str], stores: Sequence[str]) -> None:
    try:
        remove(catalogue, data_unit, names, stores)
    except TransferError as error:
        logger.warning("files.left %s: %s", data_unit, error, extra={"action": "files.left"})
        catalogue.remove_files(data_unit, names)
