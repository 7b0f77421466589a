"""Names, links and collections that are special to Globus."""

from __future__ import annotations

from pathlib import Path

import pytest

from globus_emulator.server import Emulator
from globus_fixture import HERE, THERE, GlobusTrouble, QuickGlobusStorage, folder_of, storage_at
from pilot_data.adaptors.globus.config import LOCAL_COLLECTION, LOCAL_ROOT
from pilot_data.entries import Entry, Item
from pilot_data.errors import LoginError, MissingFileError, TransferError
from pilot_data.job import Job
from pilot_data.locations import parse
from pilot_data.registry import open_storage
from pilot_data.testing.sample_files import read_all, write, write_all
from pilot_data.testing.storage_fixture import failed, landed, names_below


class TestNamesAndPlaces(GlobusTrouble):
    def test_a_collection_that_replaces_no_files(
        self, globus: Emulator, storage: QuickGlobusStorage, here: str
    ) -> None:
        landed(storage.put_many(here, [write(here, "x", b"old one")], Job()))
        globus.faults.keeps_names = True
        landed(storage.put_many(here, [write(here, "x", b"new")], Job()))
        assert read_all(folder_of(globus, storage)) == {"x": b"new"}

    def test_a_name_in_the_root_that_globus_takes_for_a_home_is_refused(
        self, globus: Emulator, here: str
    ) -> None:
        storage = storage_at(path="/")
        items = write_all(here, ["~x", "a~"])
        assert list(failed(storage.put_many(here, items, Job()))) == ["~x"]
        assert names_below(folder_of(globus, storage)) == ["a~"]
        storage.remove_all()
        assert names_below(folder_of(globus, storage)) == []

    def test_a_home_folder_may_be_the_root(self, globus: Emulator, here: str) -> None:
        Path(globus.roots[THERE], "home").mkdir()
        storage = storage_at(path="/~/store")
        landed(storage.put_many(here, write_all(here, ["~x"]), Job()))
        assert [entry.path for entry in storage.list()] == ["~x"]
        assert names_below(globus.roots[THERE]) == ["home/store/~x"]

    def test_links_are_told_and_got_and_not_put(
        self, globus: Emulator, storage: QuickGlobusStorage, here: str, there: str
    ) -> None:
        landed(storage.put_many(here, write_all(here, ["a", "folder/b"]), Job()))
        root = Path(folder_of(globus, storage))
        (root / "link").symlink_to("a")
        (root / "to-folder").symlink_to("folder")
        (root / "broken").symlink_to("absent")
        entries = {entry.path: entry for entry in storage.list()}
        assert {path: (entry.link, entry.is_broken) for path, entry in entries.items() if entry.link} == {
            "link": ("a", False),
            "to-folder": ("folder", True),
            "broken": ("absent", True),
        }
        landed(storage.get_many([Item(entries["link"], "link")], there, Job()))
        assert (Path(there) / "link").readlink() == Path("a")
        errors = failed(storage.put_many(here, [Item(Entry("link", link="a"), "link2")], Job()))
        assert "does not store the link" in str(errors["link2"])

    def test_the_root_must_be_a_folder(self, storage: QuickGlobusStorage, here: str) -> None:
        landed(storage.put_many(here, write_all(here, ["a"]), Job()))
        with pytest.raises(MissingFileError, match="is a file; name it by the folder above"):
            list(storage_at(path="/store/a").list())

    def test_a_folder_is_not_made_where_a_file_is(self, storage: QuickGlobusStorage, here: str) -> None:
        landed(storage.put_many(here, write_all(here, ["a"]), Job()))
        assert list(failed(storage.put_many(here, [Item(Entry("a", is_folder=True), "a")], Job()))) == ["a"]

    def test_without_a_local_collection_it_says_what_to_set(
        self, storage: QuickGlobusStorage, here: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(LOCAL_COLLECTION)
        with pytest.raises(LoginError, match=f"start Globus Connect Personal.*{LOCAL_COLLECTION}"):
            list(storage.put_many(here, write_all(here, ["a"]), Job()))

    def test_globus_connect_personal_tells_its_collection(
        self, storage: QuickGlobusStorage, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(LOCAL_COLLECTION)
        told = tmp_path / "home/.globusonline/lta/client-id.txt"
        told.parent.mkdir(parents=True)
        told.write_text(f"{HERE}\n")
        landed(storage.put_many(here, write_all(here, ["a"]), Job()))

    def test_files_that_the_local_collection_does_not_show(
        self, storage: QuickGlobusStorage, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "shown").mkdir()
        monkeypatch.setenv(LOCAL_ROOT, str(tmp_path / "shown"))
        errors = failed(storage.put_many(here, write_all(here, ["a"]), Job()))
        assert f"set {LOCAL_ROOT}" in str(errors["a"])

    @pytest.mark.parametrize(
        "url", ["globus://x/p", "globus://../p", "go://%2e%2e%2ftask/p", f"go://me@{THERE}/p"]
    )
    def test_a_collection_has_an_id(self, url: str) -> None:
        with pytest.raises(TransferError, match="is no id of a collection"):
            open_storage(parse(url))
