"""Many files on their way: small ones many at once, large ones one by one, many parts of each at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import partial

from pilot_data.entries import Item, Outcome
from pilot_data.errors import TransferError
from pilot_data.job import Job
from pilot_data.outcomes import outcome_of

from .client import THREADS
from .keys import SMALL
from .workers import in_order

AHEAD = 2 * THREADS

_Move = Callable[[Item], str]
"""Moves a file, and returns its SHA-256."""


def each(
    pool: Executor,
    items: Sequence[Item],
    small: _Move,
    large: _Move,
    job: Job,
    *,
    alone_above: int = SMALL,
) -> Iterator[Outcome]:
    """Move files, and yield how each went.

    Args:
        pool: What moves small files; large ones are moved by the thread that asks for outcomes.
        items: The files.
        small: Moves one.
        large: Moves one.
        job: What to keep to.
        alone_above: Bytes above which a file is a large one.

    Raises:
        TransferError: The storage as a whole fails; raised when all that has landed is told.
    """
    failures: list[TransferError] = []
    few = [item for item in items if item.entry.size > alone_above]
    many = [item for item in items if item.entry.size <= alone_above]
    yield from _together(pool, many, small, job, failures)
    for item in few:
        if failures:
            break
        yield from _told(_moved(item, large, job), failures)
    if failures:
        raise failures[0]


def _together(
    pool: Executor, items: Sequence[Item], move: _Move, job: Job, failures: list[TransferError]
) -> Iterator[Outcome]:
    def tasks() -> Iterator[Callable[[], Outcome | TransferError]]:
        for item in items:
            if failures:
                return
            yield partial(_moved, item, move, job)

    with closing(in_order(pool, tasks(), AHEAD)) as results:
        for result in results:
            yield from _told(result, failures)


def _told(result: Outcome | TransferError, failures: list[TransferError]) -> Iterator[Outcome]:
    if isinstance(result, Outcome):
        yield result
    else:
        failures.append(result)


def _moved(item: Item, move: _Move, job: Job) -> Outcome | TransferError:
    """Move a file, and return how it went; an error of the storage as a whole is returned as itself."""
    try:
        job.check()
        return outcome_of(item, move)
    except TransferError as error:
        return error
