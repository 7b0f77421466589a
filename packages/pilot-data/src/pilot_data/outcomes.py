"""Errors of one file told in its outcome; those of the storage as a whole are raised."""

from __future__ import annotations

from collections.abc import Callable

from .entries import Item, Outcome
from .errors import STORAGE_WIDE, TransferError


def outcome_of(item: Item, bring: Callable[[Item], str]) -> Outcome:
    """Bring a file, and tell its error in its outcome.

    Args:
        item: The file.
        bring: Does it, and returns the file's SHA-256; empty when none was asked for.

    Raises:
        TransferError: The storage as a whole fails.
    """
    try:
        return Outcome(item, bring(item))
    except STORAGE_WIDE:
        raise
    except TransferError as error:
        return Outcome(item, error=error)
