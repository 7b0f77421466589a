"""The files of a data unit become those of a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pilot_data.cli.canceling import Interruption
from pilot_data.cli.catalogue_names import allow_only
from pilot_data.cli.telling import Telling, show_would
from pilot_data.entries import Outcome
from pilot_data.job import Job
from pilot_data.origins import lots_of
from pilot_data.transfer_report import Tally
from pilot_data.unit_changes import Changes, changes_of
from pilot_data.unit_files import add, remove, settled_at

from .found import Found, find
from .interrupting import state_told


def sync(source: str, name: str, options: dict[str, Any]) -> int:
    """Add what is new, replace what has changed, remove the rest if that is asked for; return the exit code.

    Args:
        source: A folder anywhere.
        name: Of the data unit.
        options: Of the command.
    """
    allow_only(("deletes", "dry_run"), "a data unit that becomes like a folder")
    found = find(name, options["session"], kind="du")
    stores = settled_at(found.catalogue, found.id, "sync")
    lots = lots_of([f"{source.rstrip('/')}/"])
    items = [item for lot in lots for item in lot.items]
    changes = changes_of(items, found.catalogue.files(found.id), deletes=options["deletes"])
    if options["dry_run"]:
        return _would(changes, as_json=options["as_json"])
    as_json, quiet = options["as_json"], options["quiet"]
    with (
        state_told(found),
        Telling(Interruption(Job(), lambda: None), as_json=as_json, quiet=quiet) as telling,
    ):
        tally = Tally(telling)
        tally.planned([changes.plan])
        _remove(found, changes, stores, tally)
        if changes.plan.items:
            add(found.session, found.id, changes.lots(lots), stores, _Evenly(telling.bytes, len(stores)))
        for item in changes.plan.items:
            tally.ended(Outcome(item))
        telling.close()
        telling.report(tally.report())
    return 0


class _Evenly:
    """Tells of bytes that move to one place after the other as if all places got them at once.

    Args:
        tell: Is told.
        places: How many there are.
    """

    def __init__(self, tell: Callable[[int], None], places: int) -> None:
        self._tell = tell
        self._places = places
        self._rest = 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """Take note of bytes that have moved."""
        with self._lock:
            told, self._rest = divmod(self._rest + count, self._places)
        self._tell(told)


def _remove(found: Found, changes: Changes, stores: Sequence[str], tally: Tally) -> None:
    gone = [entry.path for entry in changes.gone]
    if gone or changes.replaced:
        remove(found.catalogue, found.id, [*gone, *changes.replaced], stores)
        tally.removed(gone)


def _would(changes: Changes, *, as_json: bool) -> int:
    for item in changes.plan.items:
        show_would("copy", item.entry.path, item.target, item.entry.bytes_to_move, as_json=as_json)
    for entry in changes.gone:
        show_would("remove", "", entry.path, entry.size, as_json=as_json)
    return 0
