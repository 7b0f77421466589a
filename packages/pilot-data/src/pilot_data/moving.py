"""Moves items from one storage to another by the shortest way there is."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from .entries import Entry, Item, Outcome
from .errors import MissingFileError, NoSpaceError, TransferError
from .job import Job
from .landing import land_other
from .spools import spool_folder
from .storage import Storage

Value = TypeVar("Value")

RELAY_BYTES = 256 * 1024 * 1024
"""How much is fetched at once on a way through this machine, if it is not a single file."""


def move(source: Storage, target: Storage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
    """Move files, and yield how it went with each.

    Args:
        source: Where the items' entries are.
        target: Where they go.
        items: From there to there.
        job: What to keep to.

    Raises:
        TransferError: One of the storages fails as a whole; items without an outcome have not landed.
    """
    if not items:
        return
    if source.location.scheme == "file":
        yield from target.put_many(source.location.path, items, job)
    elif target.location.scheme == "file":
        yield from _get(source, target.location.path, items, job)
    elif target.copies_from(source):
        yield from target.copy_many(source, items, job)
    else:
        yield from relay(source, target, items, job)


def _get(source: Storage, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
    """Bring files to this machine, and make links and empty folders here, which not every source has."""
    yield from source.get_many([item for item in items if item.entry.has_content], root, job)
    for item in items:
        if not item.entry.has_content:
            yield _made(root, item)


def _made(root: str, item: Item) -> Outcome:
    try:
        land_other(root, item)
        return Outcome(item)
    except TransferError as error:
        return Outcome(item, error=error)


def relay(source: Storage, target: Storage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
    """Move files by way of a temporary folder of this machine, a bounded lot at a time; see `move`."""
    quiet = job.unheard()  # bytes count once, when they arrive
    for lot in lots(items, RELAY_BYTES):
        job.check()
        with spool_folder() as spool:
            _check_room(spool, lot)
            yield from _relay_lot(source, target, lot, spool, job, quiet)


def _relay_lot(
    source: Storage, target: Storage, lot: Sequence[Item], spool: str, job: Job, quiet: Job
) -> Iterator[Outcome]:
    by_name = {str(number): item for number, item in enumerate(lot) if item.entry.has_content}
    fetches = [Item(item.entry, name) for name, item in by_name.items()]
    originals: dict[str, Item] = {}
    puts = [item for item in lot if not item.entry.has_content]
    for outcome in source.get_many(fetches, spool, quiet):
        name = outcome.item.target
        original = by_name[name]
        if outcome.error is not None:
            yield replace(outcome, item=original)
            continue
        originals[original.target] = original
        # The entry keeps its facts, and so the partial file the name by which it is found again or discarded.
        puts.append(Item(replace(original.entry, path=name), original.target))
    for outcome in target.put_many(spool, puts, job):
        yield replace(outcome, item=originals.get(outcome.item.target, outcome.item))


def _check_room(spool: str, lot: Sequence[Item]) -> None:
    free, needed = shutil.disk_usage(spool).free, sum(item.entry.bytes_to_move for item in lot)
    if needed > free:
        raise NoSpaceError(
            f"{needed} bytes have to pass through {spool}, where {free} are free; set TMPDIR to a larger disk"
        )


def batches(values: Sequence[Value], most: int) -> Iterator[Sequence[Value]]:
    """Yield values, at most so many at a time."""
    for start in range(0, len(values), most):
        yield values[start : start + most]


def lots(items: Sequence[Item], most_bytes: int) -> Iterator[list[Item]]:
    """Yield items in lots of at most so many bytes, or of a single larger file."""
    lot: list[Item] = []
    size = 0
    for item in items:
        if lot and size + item.entry.bytes_to_move > most_bytes:
            yield lot
            lot, size = [], 0
        lot.append(item)
        size += item.entry.bytes_to_move
    if lot:
        yield lot


def present_at(target: Storage, path: str = "") -> dict[str, Entry]:
    """Return what a target has at and below a path, by path; nothing when it does not exist yet."""
    try:
        return {entry.path: entry for entry in target.list([path])}
    except MissingFileError:
        return {}


def first_error(outcomes: Iterable[Outcome]) -> TransferError | None:
    """Return the first error, which tells how many more there are; None when there is none."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(errors) < 2:
        return errors[0] if errors else None
    return type(errors[0])(f"{errors[0]} (and {len(errors) - 1} more files)")
