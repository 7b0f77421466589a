"""Storages that keep small files in bundles look like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot_data.bundle_index import decode
from pilot_data.bundled_storage import BundledStorage
from pilot_data.bundles import FEWEST, FOLDER
from pilot_data.entries import Item
from pilot_data.errors import MissingFileError, TransferError
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Access, Storage
from pilot_data.testing import StorageSuite
from pilot_data.testing.sample_files import content, read_all, write, write_all
from pilot_data.testing.storage_fixture import landed, names_below


class BundledFolders(BundledStorage):
    """Local folders with bundles, made as the suite makes storages."""

    def __init__(self, location: Location, access: Access) -> None:
        super().__init__(open_storage(location, access))


@pytest.fixture
def storage(tmp_path: Path) -> BundledFolders:
    return BundledFolders(Location("file", path=str(tmp_path / "store")), Access())


class TestBundledStorage(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> BundledFolders:
        return BundledFolders(Location("file", path=str(tmp_path / "store")), Access())

    def leftovers(self, storage: Storage) -> list[str]:
        names = names_below(storage.location.path)
        loose = [name for name in names if not name.startswith(f"{FOLDER}/")]
        inside = [] if len(loose) == len(names) else [entry.path for entry in again(storage).list()]
        return sorted({*loose, *inside})


def stored(storage: BundledFolders) -> list[str]:
    return names_below(storage.location.path)


def again(storage: Storage) -> BundledFolders:
    """Return the same storage, which has not read yet what is there."""
    return BundledFolders(storage.location, storage.access)


def got(storage: BundledFolders, folder: Path) -> dict[str, bytes]:
    landed(storage.get_many([Item(entry, entry.path) for entry in storage.list()], str(folder), Job()))
    return read_all(str(folder))


def test_many_small_files_are_few(storage: BundledFolders, here: str, tmp_path: Path) -> None:
    items = [*write_all(here, [f"{number}" for number in range(100)]), write(here, "large", content(2 << 20))]
    landed(storage.put_many(here, items, Job()))
    bundle, listed, large = stored(storage)
    assert (bundle + ".json", large) == (listed, "large")
    assert got(again(storage), tmp_path / "back") == read_all(here)


def test_a_file_that_is_put_again_is_not_in_its_old_bundle_any_more(
    storage: BundledFolders, here: str, tmp_path: Path
) -> None:
    names = [f"{number}" for number in range(FEWEST)]
    landed(storage.put_many(here, write_all(here, names), Job()))
    landed(storage.put_many(here, [write(here, "0", b"alone by now")], Job()))
    landed(again(storage).put_many(here, write_all(here, [*names[1:], "more"], size=7), Job()))
    assert got(again(storage), tmp_path / "back") == read_all(here)
    assert len(stored(storage)) == 3, "the old bundle is gone with the last of its files"


def test_a_file_that_was_alone_may_come_into_a_bundle(
    storage: BundledFolders, here: str, tmp_path: Path
) -> None:
    landed(storage.put_many(here, [write(here, "0", b"alone")], Job()))
    landed(storage.put_many(here, write_all(here, [f"{number}" for number in range(FEWEST)]), Job()))
    assert got(again(storage), tmp_path / "back") == read_all(here)


def test_files_are_taken_out_one_by_one(storage: BundledFolders, here: str, tmp_path: Path) -> None:
    names = [f"d/{number}" for number in range(FEWEST)]
    landed(storage.put_many(here, write_all(here, names), Job()))
    storage.remove_many(names[:3])
    assert sorted(entry.path for entry in again(storage).list()) == sorted(names[3:])
    assert sorted(got(again(storage), tmp_path / "back")) == sorted(names[3:])
    again(storage).remove_many(names)
    assert stored(storage) == []
    with pytest.raises(MissingFileError):
        list(again(storage).list())


@pytest.mark.parametrize("text", [b"", b"{}x", b"[1]", b'[["a",1,2,3,"c"]]', b'[["a","1",2,3,"c",4]]', b"3"])
def test_a_spoilt_list_is_told(storage: BundledFolders, here: str, text: bytes) -> None:
    with pytest.raises(TransferError, match=r"b\.tar\.json is no list"):
        decode(f"{FOLDER}/b.tar", text)
