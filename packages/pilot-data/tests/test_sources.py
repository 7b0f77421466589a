"""What users name, and what is copied then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilot_data.entries import Entry, Item
from pilot_data.errors import MissingFileError
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.sources import Source, items_of, source_of
from pilot_data.testing.sample_files import write_all


@pytest.fixture
def data(tmp_path: Path) -> str:
    root = str(tmp_path / "data")
    write_all(root, ["run1/out", "run1/sub/x", "run2/out", "note", ".hidden/x", "a[1]*"])
    return root


def named(text: str) -> list[str]:
    source = source_of(text)
    return sorted(item.target for item in items_of(source, open_storage(source.root)))


def test_a_folder_keeps_its_name_and_a_slash_takes_it_away(data: str) -> None:
    assert named(f"{data}/run1") == ["run1/out", "run1/sub/x"]
    assert named(f"{data}/run1/") == ["out", "sub/x"]
    assert named(f"file://{data}/run1") == ["run1/out", "run1/sub/x"]
    assert named(f"{data}/note") == ["note"]


def test_dots_mean_what_a_folder_holds(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(f"{data}/run1/sub")
    assert named(".") == ["x"]
    assert named("..") == ["out", "sub/x"]
    assert named("../../run2") == ["run2/out"]


def test_patterns_keep_the_path_from_the_first_pattern_on(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert named(f"{data}/run*/out") == ["run1/out", "run2/out"]
    assert named(f"file://{data}/run1/*") == ["out", "sub/x"]
    monkeypatch.chdir(data)
    assert named("run?") == ["run1/out", "run1/sub/x", "run2/out"]
    assert named("**/x") == ["run1/sub/x"]
    with pytest.raises(MissingFileError, match=r"run\*\.dat"):
        named("run*.dat")


def test_names_that_look_like_patterns_can_be_named(data: str) -> None:
    assert named(f"{data}/a[1]*") == ["a[1]*"]
    assert named(f"file://{data}/a%5B1%5D%2A") == ["a[1]*"]
    assert named(str(Location("file", path=f"{data}/a[1]*"))) == ["a[1]*"]
    assert named(f"file://{data}/a%5B1*") == ["a[1]*"]


@pytest.mark.parametrize("text", ["s3://bucket", "s3://bucket/", "ssh://host", "ssh://host/~", "/"])
def test_roots_are_what_they_hold(text: str) -> None:
    assert source_of(text).path == ""


def test_a_bracket_of_a_host_is_no_pattern() -> None:
    assert source_of("ssh://[::1]/data/x") == Source(
        Location("ssh", "::1", "/data"), "x", text="ssh://[::1]/data/x"
    )
    assert source_of("s3://bucket/*.dat").root == Location("s3", "bucket")
    assert source_of("ssh://host/~/*.dat").root == Location("ssh", "host", "~")


def test_links_out_of_what_was_named_are_copied_with_their_content(data: str) -> None:
    links = {
        "run1/inside": "sub/x",
        "run1/sub/up": "../out",
        "run1/out-of-it": "../run2/out",
        "run1/absolute": f"{data}/note",
        "run1/folder": "../run2",
    }
    for name, leads_to in links.items():
        os.symlink(leads_to, f"{data}/{name}")
    found = {item.target: item.entry for item in _items(f"{data}/run1") if "/" in item.target}
    assert {path for path, entry in found.items() if entry.link} == {"run1/inside", "run1/sub/up"}
    assert found["run1/out-of-it"].size == 100
    assert found["run1/folder"].is_broken
    contents = {item.target: item.entry for item in _items(f"{data}/run1/")}
    assert {path for path, entry in contents.items() if entry.link} == {"inside", "sub/up"}
    by_pattern = {item.target: item.entry for item in _items(f"{data}/run1/*")}
    assert {path for path, entry in by_pattern.items() if entry.link} == set()


def test_a_link_that_was_named_itself_is_copied_with_its_content(data: str) -> None:
    os.symlink("note", f"{data}/link")
    (item,) = _items(f"{data}/link")
    assert item.entry == Entry("link", 100, item.entry.mtime_ns, item.entry.mode)


def _items(text: str) -> list[Item]:
    source = source_of(text)
    return list(items_of(source, open_storage(source.root)))
