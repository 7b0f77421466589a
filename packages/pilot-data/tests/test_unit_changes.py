"""What has to happen so that a data unit is like a folder."""

from __future__ import annotations

import pytest

from pilot_data.entries import Entry, Item
from pilot_data.locations import Location
from pilot_data.origins import Lot
from pilot_data.unit_changes import Changes, changes_of
from pilot_protocol.data_records import FileRecord
from pilot_protocol.errors import DescriptionError

SECOND = 10**9


def item(path: str, *, size: int = 1, mtime: int = 1, is_folder: bool = False) -> Item:
    """Return a file of the folder."""
    return Item(Entry(path, 0 if is_folder else size, mtime * SECOND, is_folder=is_folder), path)


def record(path: str, *, size: int = 1, mtime: int = 1, is_folder: bool = False) -> FileRecord:
    """Return a file of the data unit."""
    return FileRecord(path, 0 if is_folder else size, mtime * SECOND, is_folder=is_folder)


def told(changes: Changes) -> tuple[list[str], list[str], list[str]]:
    """Return what goes, what is replaced, and what comes."""
    coming = sorted(item.target for item in changes.plan.items)
    return [entry.path for entry in changes.gone], sorted(changes.replaced), coming


def test_new_changed_and_unchanged_files() -> None:
    items = [item("new"), item("size", size=2), item("time", mtime=2), item("same")]
    files = [record("size"), record("time"), record("same"), record("old")]
    coming = ["new", "size", "time"]
    assert told(changes_of(items, files, deletes=False)) == ([], ["size", "time"], coming)
    assert told(changes_of(items, files, deletes=True)) == (["old"], ["size", "time"], coming)


def test_an_empty_folder_that_gets_a_file_is_replaced() -> None:
    found = changes_of([item("sub/a")], [record("sub", is_folder=True)], deletes=False)
    assert told(found) == ([], ["sub"], ["sub/a"])


def test_a_folder_is_empty_only_if_nothing_in_it_stays() -> None:
    items, files = [item("sub", is_folder=True)], [record("sub/a")]
    assert told(changes_of(items, files, deletes=False)) == ([], [], [])
    assert told(changes_of(items, files, deletes=True)) == (["sub/a"], [], ["sub"])


@pytest.mark.parametrize(("path", "other"), [("a/b", "a"), ("a", "a/b")])
def test_what_is_in_the_way_has_to_go(path: str, other: str) -> None:
    with pytest.raises(DescriptionError, match=f"'{other}' of the data unit is in the way"):
        changes_of([item(path)], [record(other)], deletes=False)
    assert told(changes_of([item(path)], [record(other)], deletes=True)) == ([other], [], [path])


def test_only_what_comes_is_taken_from_the_lots() -> None:
    lot = Lot(Location("file", path="/run"), (item("same"), item("new")))
    (left,) = changes_of(lot.items, [record("same")], deletes=False).lots([lot])
    assert left.items == (item("new"),)
