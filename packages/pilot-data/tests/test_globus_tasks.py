"""Tasks of Globus: how many there are, and what becomes of them when somebody dies."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from globus_emulator.faults import Refusal
from globus_emulator.server import Emulator
from globus_fixture import ELSEWHERE, WithGlobus, folder_of, storage_at
from pilot_data.adaptors.file import FileStorage
from pilot_data.entries import Item, Outcome
from pilot_data.errors import (
    BusyError,
    CanceledError,
    ChangedSourceError,
    ConnectionLostError,
    MissingFileError,
)
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.storage import Access
from pilot_data.testing.sample_files import content, read_all, write, write_all
from pilot_data.testing.storage_fixture import failed, landed, names_below

PUT = """
import sys
from globus_fixture import storage_at
from pilot_data.job import Job
from pilot_data.testing.sample_files import content, write
root = sys.argv[1]
list(storage_at().put_many(root, [write(root, name, content(3_000_000)) for name in "ab"], Job()))
"""


class TestNumbers(WithGlobus):
    def test_one_task_moves_all_files(self, globus: Emulator, here: str, tmp_path: Path) -> None:
        storage = storage_at()
        items = write_all(here, [f"{number % 3}/{number}" for number in range(40)])
        landed(storage.put_many(here, items, Job()))
        assert (globus.called("/transfer"), globus.called("/rename"), globus.called("/mkdir")) == (1, 40, 0)
        entries = [Item(entry, entry.path) for entry in storage.list()]
        landed(storage.get_many(entries, str(tmp_path / "there"), Job()))
        assert (globus.called("/transfer"), globus.called("/rename")) == (2, 40)
        storage.checksums([entry.target for entry in entries], Job())
        assert globus.called("/transfer") == 3
        storage.remove_all()
        assert globus.called("/delete") == 1

    def test_nothing_is_asked_for_no_files(self, globus: Emulator, here: str) -> None:
        storage = storage_at()
        assert list(storage.put_many(here, [], Job())) == []
        assert storage.checksums([], Job()) == {}
        storage.remove_many([])
        assert globus.calls == []

    def test_checksums_leave_nothing_on_this_machine(
        self, globus: Emulator, here: str, tmp_path: Path
    ) -> None:
        storage = storage_at()
        landed(storage.put_many(here, write_all(here, ["a", "b"]), Job()))
        before = names_below(str(tmp_path / "state"))
        assert list(storage.checksums(["a", "absent"], Job())) == ["a"]
        assert names_below(str(tmp_path / "state")) == before
        globus.faults.unreadable.add("b")
        with pytest.raises(Exception, match="PERMISSION_DENIED"):
            storage.checksums(["a", "b"], Job())

    def test_a_submission_whose_answer_is_lost_is_the_same_task(self, globus: Emulator, here: str) -> None:
        answer = globus.api.answer

        def lose(method: str, path: str, *rest: object) -> dict[str, object]:
            found = answer(method, path, *rest)  # type: ignore[arg-type]
            if path == "/transfer":
                globus.api.answer = answer  # type: ignore[method-assign]
                raise Refusal(503, "ServiceUnavailable", "lost")
            return found

        globus.api.answer = lose  # type: ignore[assignment, method-assign]
        landed(storage_at().put_many(here, write_all(here, ["a"]), Job()))
        assert (globus.called("/transfer"), len(globus.book.tasks)) == (2, 1)


class TestEndings(WithGlobus):
    def test_a_job_that_is_canceled_ends_its_task(self, globus: Emulator, here: str) -> None:
        globus.faults.close_gate()
        storage, job = storage_at(), Job()
        items = [write(here, name, content(3_000_000)) for name in "ab"]

        def cancel() -> None:
            globus.faults.stopped.wait()
            job.cancel()

        canceler = threading.Thread(target=cancel)
        canceler.start()
        with pytest.raises(CanceledError):
            list(storage.put_many(here, items, job))
        canceler.join()
        (task,) = globus.book.tasks.values()
        assert task.shown["fatal_error"]["code"] == "CANCELED"
        assert list(storage.list()) == []
        storage.discard_many(items)
        assert names_below(folder_of(globus, storage)) == []

    @pytest.mark.faults
    def test_after_a_kill_another_process_waits_for_the_same_task(self, globus: Emulator, here: str) -> None:
        globus.faults.close_gate()
        process = self._put_elsewhere(here)
        assert globus.faults.stopped.wait(30)
        process.send_signal(signal.SIGKILL)
        process.wait()
        storage = storage_at()
        assert list(storage.list()) == []
        items = [write(here, name, content(3_000_000)) for name in "ab"]  # not while the service reads them
        globus.faults.gate.set()
        landed(storage.put_many(here, items, Job()))
        assert globus.called("/transfer") == 1
        assert read_all(folder_of(globus, storage)) == read_all(here)

    @pytest.mark.faults
    def test_what_a_killed_process_has_copied_is_not_copied_again(self, globus: Emulator, here: str) -> None:
        globus.faults.close_gate()
        process = self._put_elsewhere(here)
        assert globus.faults.stopped.wait(30)
        process.send_signal(signal.SIGKILL)
        process.wait()
        globus.faults.gate.set()
        globus.api.wait_for_tasks()
        moved: list[int] = []
        storage = storage_at()
        items = [write(here, name, content(3_000_000)) for name in "ab"]
        landed(storage.put_many(here, items, Job(on_bytes=moved.append)))
        assert moved == []
        assert read_all(folder_of(globus, storage)) == read_all(here)

    @pytest.mark.faults
    def test_a_service_that_comes_back_goes_on_with_the_task(self, globus: Emulator, here: str) -> None:
        globus.faults.close_gate()
        storage = storage_at()
        items = [write(here, name, content(3_000_000)) for name in "ab"]

        def stop() -> None:
            globus.faults.stopped.wait()
            globus.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(ConnectionLostError):
            list(storage.put_many(here, items, Job()))
        stopper.join()
        again = Emulator(globus.state, globus.roots, auth=globus.auth, port=globus.port)
        try:
            landed(storage.put_many(here, items, Job()))
            assert len(again.book.tasks) == 1
            assert read_all(folder_of(again, storage)) == read_all(here)
        finally:
            again.stop()

    @pytest.mark.parametrize("checksum", ["sha256", "none"])
    def test_two_that_put_the_same_files_share_a_task(
        self, globus: Emulator, here: str, checksum: str
    ) -> None:
        items = [write(here, "a", content(3_000_000))]
        self._at_once(globus, lambda: storage_at().put_many(here, items, Job(checksum=checksum)))
        assert globus.called("/transfer") == 1

    def test_two_that_copy_the_same_files_share_a_task(self, globus: Emulator, here: str) -> None:
        landed(storage_at().put_many(here, [write(here, "a", content(3_000_000))], Job()))
        items = [Item(entry, entry.path) for entry in storage_at().list()]
        globus.calls.clear()
        self._at_once(globus, lambda: storage_at(ELSEWHERE, "/copies").copy_many(storage_at(), items, Job()))
        assert globus.called("/transfer") == 1

    def _at_once(self, globus: Emulator, move: Callable[[], Iterable[Outcome]]) -> None:
        """Let two move the same while the task of the first is in the middle of a file."""
        globus.faults.close_gate()
        with ThreadPoolExecutor() as pool:
            first = pool.submit(lambda: landed(move()))
            assert globus.faults.stopped.wait(30)
            second = pool.submit(lambda: landed(move()))
            globus.wait_for_calls("/task_list", 2)
            globus.faults.gate.set()
            first.result()
            second.result()

    def test_a_task_of_somebody_else_for_the_same_files_is_waited_for_by_the_caller(
        self, globus: Emulator, here: str
    ) -> None:
        globus.faults.refuse("/transfer", Refusal(409, "Conflict", "identical paths"))
        (error,) = failed(storage_at().put_many(here, write_all(here, ["a"]), Job())).values()
        assert isinstance(error, BusyError)

    def test_a_source_that_changes_on_the_way_does_not_land(self, globus: Emulator, here: str) -> None:
        globus.faults.close_gate()
        items = [write(here, "a", content(3_000_000)), write(here, "b", b"b")]

        def change() -> None:
            globus.faults.stopped.wait()
            os.utime(f"{here}/a")
            globus.faults.gate.set()

        changer = threading.Thread(target=change)
        changer.start()
        storage = storage_at()
        errors = failed(storage.put_many(here, items, Job()))
        changer.join()
        assert {path: type(error) for path, error in errors.items()} == {"a": ChangedSourceError}
        assert names_below(folder_of(globus, storage)) == ["b"]

    def _put_elsewhere(self, here: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
        return subprocess.Popen([sys.executable, "-c", PUT, here], env=environment)


class TestCopies(WithGlobus):
    def test_a_collection_sends_files_to_another_one_by_itself(self, globus: Emulator, here: str) -> None:
        source, target = storage_at(), storage_at(ELSEWHERE, "/copies")
        landed(source.put_many(here, write_all(here, ["a", "d/b"]), Job()))
        globus.calls.clear()
        assert target.copies_from(source)
        moved: list[int] = []
        items = [Item(entry, f"new/{entry.path}") for entry in source.list()]
        outcomes = landed(target.copy_many(source, items, Job(on_bytes=moved.append)))
        assert globus.called("/transfer") == 1
        assert sum(moved) == 200
        copies = read_all(folder_of(globus, target))
        assert copies == {f"new/{path}": data for path, data in read_all(here).items()}
        assert {outcome.item.target: outcome.checksum for outcome in outcomes} == target.checksums(
            list(copies), Job()
        )

    def test_copies_that_are_not_what_they_should_be_do_not_land(self, globus: Emulator, here: str) -> None:
        source, target = storage_at(), storage_at(ELSEWHERE, "/copies")
        landed(source.put_many(here, write_all(here, ["a", "b", "c"]), Job()))
        entries = {entry.path: entry for entry in source.list()}
        items = [
            Item(replace(entries["a"], checksum="0" * 64), "a"),
            Item(replace(entries["b"], size=7), "b"),
            Item(entries["c"], "c"),
            Item(replace(entries["c"], path="absent"), "absent"),
        ]
        errors = failed(target.copy_many(source, items, Job()))
        assert {path: type(error) for path, error in errors.items()} == {
            "a": ChangedSourceError,
            "b": ChangedSourceError,
            "absent": MissingFileError,
        }
        assert names_below(folder_of(globus, target)) == ["c"]

    def test_a_copy_whose_sha256_is_not_told_does_not_land(self, globus: Emulator, here: str) -> None:
        source, target = storage_at(), storage_at(ELSEWHERE, "/copies")
        landed(source.put_many(here, write_all(here, ["a"]), Job()))
        globus.faults.tells_sha256 = False
        items = [Item(entry, entry.path) for entry in source.list()]
        (error,) = failed(target.copy_many(source, items, Job())).values()
        assert "through this machine" in str(error)
        landed(target.copy_many(source, items, Job(checksum="none")))

    def test_other_storages_are_not_copied_from(self, tmp_path: Path) -> None:
        target = storage_at()
        other = FileStorage(Location("file", path=str(tmp_path)), Access())
        assert not target.copies_from(other)
        with pytest.raises(NotImplementedError):
            list(target.copy_many(other, [], Job()))


class TestEmulator(WithGlobus):
    def test_it_says_what_it_is(self, globus: Emulator) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", globus.port)
        connection.request("GET", "/elsewhere")
        answer = connection.getresponse()
        assert "never-compared-with-Globus" in (answer.getheader("Server") or "")
        assert b"the emulator has no" in answer.read()
        connection.close()
