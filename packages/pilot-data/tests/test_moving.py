"""The ways that files take between storages."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

import fake_storage
from pilot_data.entries import Entry, Item
from pilot_data.errors import CanceledError, MissingFileError, NoSpaceError
from pilot_data.job import Job
from pilot_data.locations import parse
from pilot_data.moving import lots, move
from pilot_data.registry import open_storage, schemes
from pilot_data.storage import Storage
from pilot_data.testing.sample_files import HARD_NAMES, content, read_all, write, write_all
from pilot_data.testing.storage_fixture import LARGE, canceled_on_the_way, failed, landed, sha256
from pilot_protocol.errors import DescriptionError


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that relays use."""
    fake_storage.install(tmp_path / "site", monkeypatch)
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def one(tmp_path: Path) -> Storage:
    return open_storage(parse(f"fake://one{tmp_path}/one"))


@pytest.fixture
def other(tmp_path: Path) -> Storage:
    return open_storage(parse(f"fake://other{tmp_path}/other"))


def test_an_adaptor_of_somebody_else_is_found() -> None:
    assert {"fake", "file"} <= set(schemes())
    with pytest.raises(DescriptionError, match=r"ftp://; known are .*fake.*file"):
        open_storage(parse("ftp://host/x"))


def test_files_pass_through_this_machine(one: Storage, other: Storage, tmp_path: Path, spool: Path) -> None:
    items = write_all(f"{tmp_path}/one", HARD_NAMES)
    counted: list[int] = []
    outcomes = landed(move(one, other, items, Job(on_bytes=counted.append)))
    assert sorted(id(outcome.item) for outcome in outcomes) == sorted(map(id, items))
    assert {outcome.checksum for outcome in outcomes} == {
        sha256(data) for data in read_all(f"{tmp_path}/one").values()
    }
    assert read_all(f"{tmp_path}/other") == read_all(f"{tmp_path}/one")
    assert sum(counted) == sum(item.entry.size for item in items)
    assert os.listdir(spool) == []


def test_links_and_folders_pass_beside_files_of_any_name(
    one: Storage, other: Storage, tmp_path: Path
) -> None:
    file = write(f"{tmp_path}/one", "x", b"content")
    link = Item(Entry("0", link="x", size=10**15), "0")
    folder = Item(Entry("1", is_folder=True), "1")
    outcomes = landed(move(one, other, [link, folder, file], Job()))
    assert {id(outcome.item) for outcome in outcomes} == {id(link), id(folder), id(file)}
    assert os.readlink(f"{tmp_path}/other/0") == "x"
    assert os.path.isdir(f"{tmp_path}/other/1")


def test_one_missing_file_leaves_the_others_alone(one: Storage, other: Storage, tmp_path: Path) -> None:
    present = write(f"{tmp_path}/one", "x", b"content")
    absent = Item(Entry("absent", size=3), "absent")
    errors = failed(move(one, other, [absent, present], Job()))
    assert {path: type(error) for path, error in errors.items()} == {"absent": MissingFileError}
    assert read_all(f"{tmp_path}/other") == {"x": b"content"}


def test_canceling_ends_a_relay_on_either_half_of_the_way(
    one: Storage, other: Storage, tmp_path: Path, spool: Path
) -> None:
    item = write(f"{tmp_path}/one", "large", content(LARGE))
    with pytest.raises(CanceledError):
        landed(move(one, other, [item], canceled_on_the_way()))
    other.discard_many([item])
    job = Job()
    job.cancel()
    with pytest.raises(CanceledError):
        landed(move(one, other, [item], job.unheard()))
    assert not os.path.exists(f"{tmp_path}/other") or read_all(f"{tmp_path}/other") == {}
    assert os.listdir(spool) == []


def test_a_spool_that_is_too_small_is_told(one: Storage, other: Storage) -> None:
    with pytest.raises(NoSpaceError, match="set TMPDIR"):
        landed(move(one, other, [Item(Entry("x", size=10**18), "x")], Job()))


def test_nothing_to_move_asks_nobody(other: Storage) -> None:
    assert list(move(open_storage(parse("fake://gone/x")), other, [], Job())) == []


def test_lots_are_bounded_by_what_moves() -> None:
    sizes = [3, 3, 3, 20, 1]
    items = [Item(Entry(str(number), size=size), "") for number, size in enumerate(sizes)]
    items.insert(1, Item(Entry("link", link="x", size=100), ""))
    assert [[item.entry.path for item in lot] for lot in lots(items, 7)] == [
        ["0", "link", "1"],
        ["2"],
        ["3"],
        ["4"],
    ]


def test_a_spool_that_cannot_be_made_is_told(
    one: Storage, other: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/absent")
    with pytest.raises(MissingFileError, match="TMPDIR"):
        landed(move(one, other, [Item(Entry("x"), "x")], Job()))
