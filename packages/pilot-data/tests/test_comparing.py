"""Two places, compared by their contents."""

from __future__ import annotations

from pathlib import Path

import pytest

import fake_storage
from pilot_data.comparing import Difference, Side, differences
from pilot_data.entries import Entry
from pilot_data.job import Job
from pilot_data.locations import parse
from pilot_data.registry import open_storage
from pilot_data.testing.sample_files import HARD_NAMES, MTIME_NS, write, write_all


@pytest.fixture(autouse=True)
def _adaptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_storage.install(tmp_path / "site", monkeypatch)


def side(url: str) -> Side:
    storage = open_storage(parse(url))
    return Side(storage, {entry.path: entry for entry in storage.list()})


def compared(one: str, other: str) -> list[Difference]:
    return list(differences(side(one), side(other), Job()))


def test_the_same_files_do_not_differ(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_all(f"{tmp_path}/{name}", HARD_NAMES)
    assert compared(f"{tmp_path}/one", f"fake://host{tmp_path}/other") == []


def test_all_that_differs_is_told(tmp_path: Path) -> None:
    for name, contents in {"one": b"1", "other": b"2"}.items():
        write(f"{tmp_path}/{name}", "same", b"x")
        write(f"{tmp_path}/{name}", "content", contents)
        write(f"{tmp_path}/{name}", "size", contents * len(name))
        write(f"{tmp_path}/{name}", f"only-{name}", b"x")
        (tmp_path / name / "link").symlink_to(f"only-{name}")
        (tmp_path / name / "broken").symlink_to("nowhere")
    (tmp_path / "one" / "empty").mkdir()
    found = compared(f"{tmp_path}/one", f"{tmp_path}/other")
    assert [(one.path, one.what) for one in found] == [
        ("content", "different"),
        ("empty", "missing"),
        ("link", "different"),
        ("only-one", "missing"),
        ("only-other", "extra"),
        ("size", "different"),
    ]
    assert found[-1].detail == "3 and 5 bytes"


def test_links_are_the_same_as_their_content_where_there_are_no_links(tmp_path: Path) -> None:
    write(f"{tmp_path}/one", "x", b"x")
    (tmp_path / "one" / "link").symlink_to("x")
    write(f"{tmp_path}/other", "x", b"x")
    write(f"{tmp_path}/other", "link", b"x")
    (tmp_path / "one" / "empty").mkdir()
    assert compared(f"{tmp_path}/one", f"fake://host{tmp_path}/other") == []


def test_what_cannot_be_read_where_it_is_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_storage.FakeStorage, "checksums", lambda *_: {})
    for name in ("one", "other"):
        write_all(f"{tmp_path}/{name}", HARD_NAMES)
    write(f"{tmp_path}/other", "plain.txt", b"?" * 100)
    (found,) = compared(f"fake://host{tmp_path}/one", f"{tmp_path}/other")
    assert (found.path, found.what) == ("plain.txt", "different")


def test_a_file_and_an_empty_folder_differ(tmp_path: Path) -> None:
    storage = open_storage(parse(str(tmp_path)))
    one = Side(storage, {"x": Entry("x", mtime_ns=MTIME_NS)})
    other = Side(storage, {"x": Entry("x", is_folder=True)})
    assert [found.detail for found in differences(one, other, Job())] == ["a folder and a file"]
