"""What storages promise of files that are put and got."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from pilot_data.entries import Entry, Item
from pilot_data.errors import ChangedSourceError, ChecksumError, MissingFileError
from pilot_data.job import Job
from pilot_data.storage import Storage

from .sample_files import MTIME_NS, SIZES, content, read_all, write, write_all
from .storage_fixture import StorageFixture, failed, landed, sha256


class StorageMoves(StorageFixture):
    """Files come and go whole."""

    def test_files_of_all_names_come_back_as_they_were(self, storage: Storage, here: str, there: str) -> None:
        items = write_all(here, self.hard_names)
        landed(storage.put_many(here, items, Job()))
        listed = list(storage.list())
        assert sorted(entry.path for entry in listed) == sorted(self.hard_names)
        landed(storage.get_many([Item(entry, entry.path) for entry in listed], there, Job()))
        assert read_all(there) == read_all(here)

    def test_files_of_all_sizes_come_back_as_they_were(self, storage: Storage, here: str, there: str) -> None:
        items = [write(here, f"size-{size}", content(size, size)) for size in SIZES]
        outcomes = landed(storage.put_many(here, items, Job()))
        assert {outcome.item.target: outcome.checksum for outcome in outcomes} == {
            f"size-{size}": sha256(content(size, size)) for size in SIZES
        }
        listed = list(storage.list())
        assert {entry.path: entry.size for entry in listed} == {f"size-{size}": size for size in SIZES}
        landed(storage.get_many([Item(entry, entry.path) for entry in listed], there, Job()))
        assert read_all(there) == read_all(here)

    def test_many_small_files(self, storage: Storage, here: str, there: str) -> None:
        items = write_all(here, [f"{number % 7}/{number}.dat" for number in range(700)], size=50)
        landed(storage.put_many(here, items, Job()))
        listed = list(storage.list())
        assert len(listed) == 700
        landed(storage.get_many([Item(entry, entry.path) for entry in listed], there, Job()))
        assert read_all(there) == read_all(here)

    def test_modes_and_times_are_kept_where_the_storage_has_them(
        self, storage: Storage, here: str, there: str
    ) -> None:
        landed(storage.put_many(here, [write(here, "run.sh", b"#!/bin/sh\n", 0o751)], Job()))
        (entry,) = storage.list()
        assert entry.mode == (0o751 if storage.capabilities.modes else 0)
        if storage.capabilities.mtimes:
            assert entry.mtime_ns == MTIME_NS
        landed(storage.get_many([Item(entry, entry.path)], there, Job()))
        found = os.stat(f"{there}/run.sh")
        if storage.capabilities.modes:
            assert found.st_mode & 0o7777 == 0o751
        assert found.st_mtime_ns // 10**9 == entry.mtime_ns // 10**9

    def test_links_and_empty_folders_are_kept_where_the_storage_has_them(
        self, storage: Storage, here: str, there: str
    ) -> None:
        items = []
        if storage.capabilities.links:
            items.append(Item(Entry("a/link", link="../b c"), "a/link"))
        if storage.capabilities.folders:
            items.append(Item(Entry("empty", is_folder=True, mode=0o755), "empty"))
        items.append(write(here, "b c", b"content"))
        landed(storage.put_many(here, items, Job()))
        listed = {entry.path: entry for entry in storage.list()}
        assert sorted(listed) == sorted(item.target for item in items)
        landed(storage.get_many([Item(entry, entry.path) for entry in listed.values()], there, Job()))
        if storage.capabilities.links:
            assert (listed["a/link"].link, listed["a/link"].size) == ("../b c", 7)
            assert os.readlink(f"{there}/a/link") == "../b c"
        if storage.capabilities.folders:
            assert listed["empty"].is_folder
            assert os.path.isdir(f"{there}/empty")

    def test_names_that_are_no_text_are_kept_or_refused(
        self, storage: Storage, here: str, there: str
    ) -> None:
        name = os.fsdecode(b"latin-\xe9")
        (outcome,) = storage.put_many(here, [write(here, name, b"x")], Job())
        if not storage.capabilities.bytes_names:
            assert outcome.error is not None
            return
        assert outcome.error is None
        (entry,) = storage.list()
        landed(storage.get_many([Item(entry, entry.path)], there, Job()))
        assert os.listdir(os.fsencode(there)) == [b"latin-\xe9"]

    def test_a_listed_path_may_be_a_file_or_a_folder_and_must_be_there(
        self, storage: Storage, here: str
    ) -> None:
        landed(storage.put_many(here, write_all(here, ["a/1", "a/b/2", "ab", "c"]), Job()))
        assert sorted(entry.path for entry in storage.list(["a", "c"])) == ["a/1", "a/b/2", "c"]
        with pytest.raises(MissingFileError, match="absent"):
            list(storage.list(["absent"]))

    def test_what_is_put_again_takes_the_place_of_the_old(
        self, storage: Storage, here: str, there: str
    ) -> None:
        landed(storage.put_many(here, [write(here, "x", b"long content")], Job()))
        landed(storage.put_many(here, [write(here, "x", b"short")], Job()))
        (entry,) = storage.list()
        landed(storage.get_many([Item(entry, "x")], there, Job()))
        landed(storage.get_many([Item(entry, "x")], there, Job()))
        assert read_all(there) == {"x": b"short"}

    def test_files_may_change_their_names_on_the_way(self, storage: Storage, here: str, there: str) -> None:
        item = write(here, "old/name", b"content")
        landed(storage.put_many(here, [replace(item, target="new/one")], Job()))
        (entry,) = storage.list(["new/one"])
        landed(storage.get_many([Item(entry, "last")], there, Job()))
        assert read_all(there) == {"last": b"content"}

    def test_bytes_are_counted(self, storage: Storage, here: str, there: str) -> None:
        moved: list[int] = []
        items = [write(here, f"{size}", content(size)) for size in SIZES]
        landed(storage.put_many(here, items, Job(on_bytes=moved.append)))
        assert sum(moved) == sum(SIZES)
        moved.clear()
        landed(storage.get_many([Item(e, e.path) for e in storage.list()], there, Job(on_bytes=moved.append)))
        assert sum(moved) == sum(SIZES)

    def test_without_checksums_sizes_are_compared(self, storage: Storage, here: str, there: str) -> None:
        job = Job(checksum="none")
        outcomes = landed(storage.put_many(here, write_all(here, ["a", "b"]), job))
        assert {outcome.checksum for outcome in outcomes} == {""}
        landed(storage.get_many([Item(entry, entry.path) for entry in storage.list()], there, job))
        assert read_all(there) == read_all(here)

    def test_a_source_that_is_another_one_by_now_does_not_land(self, storage: Storage, here: str) -> None:
        good, bad, grown = write_all(here, ["good", "bad", "grown"])
        bad = replace(bad, entry=replace(bad.entry, checksum="0" * 64))
        grown = replace(grown, entry=replace(grown.entry, size=50))
        errors = failed(storage.put_many(here, [bad, grown, good], Job()))
        assert {path: type(error) for path, error in errors.items()} == {
            "bad": ChangedSourceError,
            "grown": ChangedSourceError,
        }
        assert [entry.path for entry in storage.list()] == ["good"]

    def test_a_file_with_a_wrong_checksum_does_not_take_the_place_of_another(
        self, storage: Storage, here: str, there: str
    ) -> None:
        landed(storage.put_many(here, write_all(here, ["good", "bad"]), Job()))
        write(there, "bad", b"was here before")
        items = [Item(entry, entry.path) for entry in storage.list()]
        items = [
            replace(item, entry=replace(item.entry, checksum="0" * 64)) if item.target == "bad" else item
            for item in items
        ]
        errors = failed(storage.get_many(items, there, Job()))
        assert list(errors) == ["bad"]
        assert isinstance(errors["bad"], (ChecksumError, ChangedSourceError))
        assert read_all(there) == {"bad": b"was here before", "good": read_all(here)["good"]}

    def test_a_missing_file_leaves_the_others_alone(self, storage: Storage, here: str, there: str) -> None:
        absent = Item(Entry("absent", size=3, mtime_ns=MTIME_NS), "absent")
        present = write(here, "present", b"x")
        errors = failed(storage.put_many(here, [absent, present], Job()))
        assert {path: type(error) for path, error in errors.items()} == {"absent": MissingFileError}
        (entry,) = storage.list()
        errors = failed(storage.get_many([absent, Item(entry, "present")], there, Job()))
        assert {path: type(error) for path, error in errors.items()} == {"absent": MissingFileError}
        assert read_all(there) == {"present": b"x"}
