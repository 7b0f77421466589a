"""What storages promise of names, interrupted transfers, and what is removed."""

from __future__ import annotations

import os
import threading
from functools import partial

import pytest

from pilot_data.entries import Item, is_partial
from pilot_data.errors import CanceledError, MissingFileError
from pilot_data.job import Job
from pilot_data.retry import move_with_retries
from pilot_data.storage import Storage

from .sample_files import content, read_all, write, write_all
from .storage_fixture import LARGE, StorageFixture, canceled_on_the_way, failed, landed, sha256


class StorageUpkeep(StorageFixture):
    """Nothing is left behind, and nothing lands elsewhere."""

    @pytest.mark.parametrize("target", ["../outside", "/tmp/outside", "a/../../outside", "a//b", ".", ""])
    def test_nothing_lands_outside_of_the_folder(
        self, storage: Storage, here: str, there: str, target: str
    ) -> None:
        landed(storage.put_many(here, [write(here, "x", b"x")], Job()))
        (entry,) = storage.list()
        errors = failed(storage.get_many([Item(entry, target)], there, Job()))
        assert list(errors) == [target]
        assert not os.path.exists(there) or read_all(there) == {}

    def test_a_put_that_is_canceled_leaves_no_file_and_can_be_done_again(
        self, storage: Storage, here: str, there: str
    ) -> None:
        item = write(here, "large", content(LARGE))
        landed(storage.put_many(here, [write(here, "small", b"x")], Job()))
        with pytest.raises(CanceledError):
            landed(storage.put_many(here, [item], canceled_on_the_way()))
        assert [entry.path for entry in storage.list()] == ["small"]
        landed(storage.put_many(here, [item], Job()))
        landed(storage.get_many([Item(e, e.path) for e in storage.list(["large"])], there, Job()))
        assert read_all(there) == {"large": content(LARGE)}
        assert sorted(self.leftovers(storage)) == ["large", "small"]

    def test_a_get_that_is_canceled_leaves_no_file_and_can_be_done_again(
        self, storage: Storage, here: str, there: str
    ) -> None:
        landed(storage.put_many(here, [write(here, "large", content(LARGE))], Job()))
        items = [Item(entry, entry.path) for entry in storage.list()]
        with pytest.raises(CanceledError):
            landed(storage.get_many(items, there, canceled_on_the_way()))
        assert all(is_partial(path) for path in read_all(there))
        landed(storage.get_many(items, there, Job()))
        assert read_all(there) == {"large": content(LARGE)}

    def test_what_nobody_finishes_can_be_removed(self, storage: Storage, here: str) -> None:
        item = write(here, "large", content(LARGE))
        landed(storage.put_many(here, [write(here, "small", b"x")], Job()))
        with pytest.raises(CanceledError):
            landed(storage.put_many(here, [item], canceled_on_the_way()))
        storage.discard_many([item])
        storage.discard_many([item])
        assert self.leftovers(storage) == ["small"]

    def test_two_that_put_the_same_file_at_once_do_not_fight(
        self, storage: Storage, here: str, there: str
    ) -> None:
        item = write(here, "large", content(LARGE))
        others = [type(storage)(storage.location, storage.access) for _ in range(2)]
        errors: list[BaseException] = []
        job = Job()

        def put(one: Storage) -> None:
            try:
                for _ in range(3):
                    landed(move_with_retries(partial(one.put_many, here, job=job), [item], job))
            except BaseException as error:  # noqa: BLE001 - told by the test below
                errors.append(error)
            finally:
                one.close()

        threads = [threading.Thread(target=put, args=(one,)) for one in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        landed(storage.get_many([Item(e, e.path) for e in storage.list()], there, Job()))
        assert read_all(there) == {"large": content(LARGE)}
        assert self.leftovers(storage) == ["large"]

    def test_checksums_are_those_of_what_is_stored(self, storage: Storage, here: str) -> None:
        items = write_all(here, self.hard_names)
        landed(storage.put_many(here, items, Job()))
        found = storage.checksums([*self.hard_names, "absent"], Job())
        assert found == {path: sha256(data) for path, data in read_all(here).items()}

    def test_removing_files_takes_their_empty_folders_and_no_others(
        self, storage: Storage, here: str
    ) -> None:
        landed(storage.put_many(here, write_all(here, ["a/b/1", "a/2", "c/3", *self.hard_names]), Job()))
        storage.remove_many(["a/b/1", "c/3", *self.hard_names, "absent"])
        assert [entry.path for entry in storage.list()] == ["a/2"]
        assert self.leftovers(storage) == ["a/2"]

    def test_removing_all_leaves_nothing(self, storage: Storage, here: str) -> None:
        landed(storage.put_many(here, write_all(here, self.hard_names), Job()))
        with pytest.raises(CanceledError):
            landed(storage.put_many(here, [write(here, "large", content(LARGE))], canceled_on_the_way()))
        storage.remove_all()
        assert self.leftovers(storage) == []
        with pytest.raises(MissingFileError):
            list(storage.list())
        storage.remove_all()

    def test_it_can_be_used_again_after_it_was_closed(self, storage: Storage, here: str) -> None:
        landed(storage.put_many(here, [write(here, "x", b"x")], Job()))
        storage.close()
        assert [entry.path for entry in storage.list()] == ["x"]
        storage.close()

    def test_free_space_is_a_number_or_not_known(self, storage: Storage) -> None:
        free = storage.free_bytes()
        assert free is None or free > 0
