"""Several sources to one target: names, what moves, what is removed, and how it ends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

import fake_storage
from pilot_data.entries import Outcome
from pilot_data.errors import CanceledError, MissingFileError, NoSpaceError
from pilot_data.job import Job
from pilot_data.testing.sample_files import content, read_all, write, write_all
from pilot_data.testing.storage_fixture import LARGE, canceled_on_the_way, names_below
from pilot_data.transfer_legs import Request
from pilot_data.transfer_report import Listener, Report
from pilot_data.transfers import Transfer
from pilot_protocol.errors import DescriptionError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a few files in it."""
    fake_storage.install(tmp_path / "site", monkeypatch)
    folder = tmp_path / "here"
    write_all(str(folder), ["run/a", "run/sub/b", "note", "other/note"])
    monkeypatch.chdir(folder)
    return folder


def transferred(request: Request, job: Job | None = None, listener: Listener | None = None) -> Report:
    with Transfer(request, job or Job(), listener) as transfer:
        return transfer.run(transfer.plan())


def copied(*texts: str) -> Report:
    report = transferred(Request(texts[:-1], texts[-1]))
    assert report.is_complete
    return report


def synced(source: str, target: str, *, deletes: bool = False) -> Report:
    return transferred(Request((source,), target, only_changed=True, mirrors=True, deletes=deletes))


def there(folder: str = "there") -> list[str]:
    return names_below(folder)


def test_a_folder_goes_into_a_folder_or_gets_its_name() -> None:
    copied("run", "there")
    assert there() == ["a", "sub/b"]
    copied("run", "there")
    assert there() == ["a", "run/a", "run/sub/b", "sub/b"]


@pytest.mark.parametrize(
    ("sources", "target", "names"),
    [
        (["run"], "there/", ["run/a", "run/sub/b"]),
        (["run/"], "there", ["a", "sub/b"]),
        (["run/"], "there/", ["a", "sub/b"]),
        (["run/."], "there", ["a", "sub/b"]),
        (["note"], "there/x", ["x"]),
        (["note"], "there/", ["note"]),
        (["run", "note"], "there/", ["note", "run/a", "run/sub/b"]),
        (["run/*"], "there/", ["a", "sub/b"]),
        (["note", "note", "no*"], "there/", ["note"]),
        (["run/sub"], "there/deep/er", ["deep/er/b"]),
    ],
)
def test_names_are_those_of_cp(sources: list[str], target: str, names: list[str]) -> None:
    copied(*sources, target)
    assert there() == names


def test_a_file_takes_the_place_of_a_file_and_goes_into_a_folder() -> None:
    os.mkdir("empty")
    copied("note", "empty")
    assert there("empty") == ["note"]
    copied("run/a", "note")
    assert Path("note").read_bytes() == Path("run/a").read_bytes()


@pytest.mark.parametrize(
    ("sources", "target", "says"),
    [
        (["run", "note"], "there", "several sources need a folder.*'there/'"),
        (["run/*"], "there", "several sources need a folder"),
        (["note", "other/note"], "there/", "two files would be 'note'"),
        (["run"], "run", "copied to itself"),
        (["run"], "run/sub/new", "copied to itself"),
        (["run/"], "run/sub", "copied to itself"),
        (["note"], "note", "copied to itself"),
        (["note"], ".", "copied to itself"),
        (["run/*"], "run", "copied to itself"),
        (["ftp://host/x"], "there", "no adaptor serves ftp"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_moves(
    sources: list[str], target: str, says: str
) -> None:
    before = names_below(".")
    with pytest.raises(DescriptionError, match=says):
        copied(*sources, target)
    assert names_below(".") == before


def test_a_missing_source_is_told_before_anything_moves() -> None:
    with pytest.raises(MissingFileError, match="absent"):
        copied("run", "absent", "there/")
    assert there() == []


def test_files_come_and_go_between_storages_that_keep_contents_only(here: Path) -> None:
    os.symlink("a", "run/link")
    os.symlink("nowhere", "run/broken")
    report = transferred(Request(("run",), f"fake://host{here}/store"))
    assert [type(outcome.error) for outcome in report.failures] == [MissingFileError]
    copied(f"fake://host{here}/store", f"fake://other{here}/relayed")
    copied(f"fake://host{here}/relayed", "there")
    assert read_all("there") == {name: Path("run", name).read_bytes() for name in ("a", "link", "sub/b")}


def test_only_what_has_changed_moves_if_that_is_asked_for(here: Path) -> None:
    for target in ("there/", f"fake://host{here}/store/"):
        request = Request(("run", "note"), target, only_changed=True)
        assert transferred(request).moved == 3
        assert (transferred(request).moved, transferred(request).unchanged) == (0, 3)
        write(".", "run/a", target.encode())
        assert transferred(request).moved == 1


def test_sync_makes_the_contents_the_same_and_removes_only_if_told(here: Path) -> None:
    for target, folder in (("there", "there"), (f"fake://host{here}/store", "store")):
        assert synced("run", target).moved == 2
        write(folder, "extra/x", b"x")
        report = synced("run", target)
        assert (report.moved, report.unchanged, report.removed) == (0, 2, 0)
        report = synced("run", target, deletes=True)
        assert (report.moved, report.unchanged, report.removed) == (0, 2, 1)
        assert there(folder) == ["a", "sub/b"]


def test_sync_replaces_files_by_folders_and_back() -> None:
    write("one", "x", b"a file")
    write("one", "y/z/below", b"in folders")
    os.makedirs("one/empty")
    write("two", "x/below", b"in a folder")
    write("two", "y", b"a file")
    write("two", "empty/x", b"not empty")
    assert synced("one", "two", deletes=True).is_complete
    assert there("two") == there("one")
    assert read_all("two") == read_all("one")
    report = synced("one", "two", deletes=True)
    assert (report.moved, report.removed) == (0, 0)


def test_nothing_is_removed_when_something_has_failed(here: Path) -> None:
    target = f"fake://host{here}/store"
    write("store", "extra", b"x")
    os.symlink("nowhere", "run/broken")
    report = synced("run", target, deletes=True)
    assert (len(report.failures), report.removed) == (1, 0)
    assert there("store") == ["a", "extra", "sub/b"]


def test_one_file_that_fails_leaves_the_others_alone() -> None:
    class Vanishing(Listener):
        def planned(self, files: int, size: int) -> None:
            os.unlink("run/a")

    report = transferred(Request(("run",), "there"), listener=Vanishing())
    assert [outcome.item.target for outcome in report.failures] == ["there/a"]
    assert (report.moved, report.left, there()) == (1, 0, ["sub/b"])


def test_a_listener_is_told_of_all() -> None:
    told: list[tuple[str, object]] = []

    class Hearing(Listener):
        def planned(self, files: int, size: int) -> None:
            told.append(("planned", (files, size)))

        def ended(self, outcome: Outcome) -> None:
            told.append(("ended", outcome.item.target))

        def removed(self, paths: Sequence[str]) -> None:
            told.append(("removed", list(paths)))

    write("there", "extra", b"x")
    request = Request(("run",), "there", only_changed=True, mirrors=True, deletes=True)
    transferred(request, listener=Hearing())
    assert told == [
        ("planned", (2, 200)),
        ("ended", "a"),
        ("ended", "sub/b"),
        ("removed", ["extra"]),
    ]


@pytest.mark.parametrize("scheme", ["", "fake://host"])
def test_a_canceled_transfer_leaves_whole_files_only(here: Path, scheme: str) -> None:
    write(".", "run/large", content(LARGE))
    report = transferred(Request(("run",), f"{scheme}{here}/there"), canceled_on_the_way())
    assert isinstance(report.stopped, CanceledError)
    assert (report.moved, report.left) == (1, 2)
    assert there() == ["a"]


def test_what_has_arrived_can_be_kept_and_is_gone_on_with() -> None:
    write(".", "run/large", content(LARGE))
    request = Request(("run/large",), "there/", keeps_partial=True)
    transferred(request, canceled_on_the_way())
    assert len(there()) == 1
    counted: list[int] = []
    assert transferred(request, Job(on_bytes=counted.append)).is_complete
    assert sum(counted) < LARGE
    assert there() == ["large"]


def test_a_transfer_that_was_canceled_before_it_began_does_nothing() -> None:
    job = Job()
    job.cancel()
    with pytest.raises(CanceledError):
        transferred(Request(("run",), "there"), job)
    assert not os.path.exists("there")


def test_a_full_target_stops_the_transfer_and_keeps_nothing_of_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: object, _offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pilot_data.landing.os.pwrite", full)
    report = transferred(Request(("run",), "there"))
    assert isinstance(report.stopped, NoSpaceError)
    assert (report.moved, report.left, there()) == (0, 2, [])


def test_one_folder_only_can_be_mirrored() -> None:
    with pytest.raises(DescriptionError, match="name one source"):
        transferred(Request(("run", "other"), "there", mirrors=True))
    with pytest.raises(MissingFileError, match="is a file"):
        synced("note", "there")
