"""What has to happen to the files of a data unit, so that they are those of a folder. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pilot_protocol.data_records import FileRecord
from pilot_protocol.errors import DescriptionError

from .entries import Entry, Item
from .origins import Lot, entry_of
from .plan import Plan, folders_above, in_the_way, make_plan
from .storage import EVERYTHING


@dataclass(frozen=True)
class Changes:
    """What has to happen, in this order.

    Attributes:
        gone: Files that are removed for good.
        replaced: Paths of what is removed, because it comes anew, or is an empty folder that gets files.
        plan: What comes, and what stays as it is.
    """

    gone: tuple[Entry, ...]
    replaced: tuple[str, ...]
    plan: Plan

    def lots(self, lots: Iterable[Lot]) -> list[Lot]:
        """Return of some lots what comes."""
        coming = set(self.plan.items)
        return [replace(lot, items=tuple(item for item in lot.items if item in coming)) for lot in lots]


def changes_of(items: Sequence[Item], files: Iterable[FileRecord], *, deletes: bool) -> Changes:
    """Return what has to happen.

    Args:
        items: Of the folder, to their places in the data unit.
        files: Of the data unit.
        deletes: Whether files that the folder does not have are removed.

    Raises:
        DescriptionError: One of those is where a folder is to be, or below a file, and is to stay.
    """
    known = {file.path: entry_of(file) for file in files}
    plan = make_plan(items, known, EVERYTHING)
    if not deletes:
        plan = _beside(plan)
    filled = {folder for item in plan.items for folder in folders_above(item.target)}
    replaced = [item.target for item in plan.items if item.target in known]
    replaced += [path for path in known if path in filled and known[path].is_folder]
    return Changes(plan.extra if deletes else (), tuple(replaced), plan)


def _beside(plan: Plan) -> Plan:
    """Return the plan for a data unit that keeps what the folder does not have: no folder is empty that holds some of it."""
    kept = {folder for entry in plan.extra for folder in folders_above(entry.path)}
    items = tuple(item for item in plan.items if not (item.entry.is_folder and item.target in kept))
    found = replace(plan, items=items)
    for path in in_the_way(found):
        raise DescriptionError(
            f"{path!r} of the data unit is in the way of a file of the folder; add --delete, to remove it",
            key="deletes",
            value=path,
        )
    return found
