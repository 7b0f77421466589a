"""Many small files that are stored as few large ones."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_data import bundles
from pilot_data.bundle_gets import Wanted, get_bundled
from pilot_data.bundle_puts import Stored, put_bundled
from pilot_data.bundles import FOLDER, Place, header, padded, plan
from pilot_data.entries import Entry, Item
from pilot_data.errors import (
    CanceledError,
    ChangedSourceError,
    ChecksumError,
    MissingFileError,
    TransferError,
)
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Storage
from pilot_data.testing.sample_files import HARD_NAMES, MTIME_NS, content, read_all, write, write_all
from pilot_data.testing.storage_fixture import failed, landed, sha256
from s3_servers import RcloneServer


@pytest.fixture(params=["file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    found: Storage
    if request.param == "file":
        found = open_storage(Location("file", path=str(tmp_path / "store")))
    else:
        request.getfixturevalue("s3_keys")
        rclone: RcloneServer = request.getfixturevalue("rclone")
        found = rclone.service.storage()
    yield found
    found.close()


@pytest.fixture
def spool(tmp_path: Path) -> str:
    return str(tmp_path / "made" / "spool")


def _put(storage: Storage, here: str, items: list[Item], spool: str, job: Job | None = None) -> list[Stored]:
    stored = list(put_bundled(storage, here, items, job or Job(), spool))
    assert os.listdir(spool) == []
    return stored


def _archives(storage: Storage) -> list[Entry]:
    """Return the bundles of a storage, without their lists."""
    return [entry for entry in storage.list([FOLDER]) if entry.path.endswith(".tar")]


def _wanted(stored: list[Stored]) -> list[Wanted]:
    """Return what a manifest would, after its way through JSON."""
    return [
        Wanted(
            Item(
                replace(one.outcome.item.entry, path=one.outcome.item.target, checksum=one.outcome.checksum),
                one.outcome.item.target,
            ),
            one.place and Place.from_json(json.loads(json.dumps(one.place.to_json()))),
        )
        for one in stored
        if one.outcome.error is None
    ]


def test_files_of_all_names_come_back_as_they_were(
    storage: Storage, here: str, there: str, spool: str
) -> None:
    items = [*write_all(here, HARD_NAMES), write(here, "large", content(1 << 20)), write(here, "empty", b"")]
    stored = _put(storage, here, items, spool)
    landed(one.outcome for one in stored)
    assert {one.outcome.item.target for one in stored if one.place is None} == {"large"}
    assert {one.outcome.item.target: one.outcome.checksum for one in stored} == {
        path: sha256(data) for path, data in read_all(here).items()
    }
    landed(get_bundled(storage, _wanted(stored), there, Job(), spool))
    assert read_all(there) == read_all(here)
    assert {os.stat(f"{there}/{path}").st_mode & 0o777 for path in read_all(there)} == {0o640}
    assert {os.stat(f"{there}/{path}").st_mtime_ns for path in read_all(there)} == {MTIME_NS}
    assert os.listdir(spool) == []


def test_a_bundle_is_an_archive_that_any_tar_reads(
    storage: Storage, here: str, there: str, spool: str
) -> None:
    landed(one.outcome for one in _put(storage, here, write_all(here, HARD_NAMES), spool))
    (entry,) = _archives(storage)
    landed(storage.get_many([Item(entry, "bundle.tar")], there, Job()))
    with tarfile.open(f"{there}/bundle.tar") as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
        assert {name: file.read() for name, file in found.items() if file} == read_all(here)


def test_what_is_there_already_is_not_brought_again(storage: Storage, here: str, spool: str) -> None:
    items = write_all(here, [f"{number}" for number in range(20)])
    first = _put(storage, here, items, spool)
    moved: list[int] = []
    second = _put(storage, here, items[::-1], spool, Job(on_bytes=moved.append))
    assert {one.place for one in second} == {one.place for one in first}
    assert sum(moved) == 0
    write(here, "3", b"another content, of another length")
    changed = [
        replace(item, entry=replace(item.entry, size=34)) if item.target == "3" else item for item in items
    ]
    _put(storage, here, changed, spool)
    assert len(_archives(storage)) == 2


def test_few_files_and_large_ones_stand_by_themselves(
    storage: Storage, here: str, there: str, spool: str
) -> None:
    items = write_all(here, [f"{number}" for number in range(15)])
    stored = list(put_bundled(storage, here, items, Job(), spool))
    assert {one.place for one in stored} == {None}
    landed(get_bundled(storage, _wanted(stored), there, Job(), spool))
    assert read_all(there) == read_all(here)


def test_several_bundles_and_a_file_of_one(
    storage: Storage, here: str, there: str, spool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "LARGEST", 300_000)
    items = [write(here, f"{number}", content(50_000, number)) for number in range(20)]
    moved: list[int] = []
    stored = _put(storage, here, items, spool, Job(on_bytes=moved.append))
    assert sum(moved) == 20 * 50_000
    listed = _archives(storage)
    assert len(listed) == 4
    assert max(entry.size for entry in listed) <= 300_000
    (wanted,) = (one for one in _wanted(stored) if one.item.target == "7")
    landed(get_bundled(storage, [wanted], there, Job(), spool))
    assert read_all(there) == {"7": content(50_000, 7)}


def test_files_that_cannot_be_packed_leave_the_others_alone(
    storage: Storage, here: str, there: str, spool: str
) -> None:
    items = write_all(here, [f"{number}" for number in range(20)])
    items += [
        Item(Entry("absent", size=3), "absent"),
        replace(items[0], entry=replace(items[0].entry, size=50), target="grown"),
        replace(items[0], entry=replace(items[0].entry, checksum="0" * 64), target="other"),
        replace(items[0], target="../outside"),
    ]
    stored = _put(storage, here, items, spool)
    assert {path: type(error) for path, error in failed(one.outcome for one in stored).items()} == {
        "absent": MissingFileError,
        "grown": ChangedSourceError,
        "other": ChangedSourceError,
        "../outside": TransferError,
    }
    landed(get_bundled(storage, _wanted(stored), there, Job(), spool))
    assert read_all(there) == read_all(here)


def test_what_is_got_is_verified_file_by_file(storage: Storage, here: str, there: str, spool: str) -> None:
    stored = _put(storage, here, write_all(here, [f"{number}" for number in range(20)]), spool)
    wanted = _wanted(stored)
    place = wanted[0].place
    assert place is not None
    bad = replace(
        wanted[1], item=replace(wanted[1].item, entry=replace(wanted[1].item.entry, checksum="0" * 64))
    )
    short = replace(wanted[2], place=replace(place, offset=1 << 40))
    gone = replace(wanted[3], place=replace(place, bundle=f"{FOLDER}/absent.tar"))
    outside = replace(wanted[4], item=replace(wanted[4].item, target="../outside"))
    errors = failed(get_bundled(storage, [bad, short, gone, outside, *wanted[5:]], there, Job(), spool))
    assert {path: type(error) for path, error in errors.items()} == {
        bad.item.target: ChecksumError,
        short.item.target: ChecksumError,
        gone.item.target: MissingFileError,
        "../outside": TransferError,
    }
    assert set(read_all(there)) == {one.item.target for one in wanted[5:]}


def test_a_put_that_is_canceled_leaves_nothing_and_can_be_done_again(
    storage: Storage, here: str, spool: str
) -> None:
    items = write_all(here, [f"{number}" for number in range(20)])
    job = Job()
    job.cancel()
    with pytest.raises(CanceledError):
        list(put_bundled(storage, here, items, job, spool))
    assert not os.path.exists(spool) or os.listdir(spool) == []
    landed(one.outcome for one in _put(storage, here, items, spool))


def test_without_checksums_sizes_are_compared(storage: Storage, here: str, there: str, spool: str) -> None:
    stored = _put(
        storage, here, write_all(here, [f"{number}" for number in range(20)]), spool, Job(checksum="none")
    )
    assert {one.outcome.checksum for one in stored} == {""}
    landed(get_bundled(storage, _wanted(stored), there, Job(checksum="none"), spool))
    assert read_all(there) == read_all(here)


@given(st.lists(st.integers(0, 2 << 20), max_size=300))
def test_plans_hold_each_file_once_and_bundles_are_not_too_large(sizes: list[int]) -> None:
    items = [Item(Entry(f"{number}", size=size), f"{number}") for number, size in enumerate(sizes)]
    planned = plan(items)
    bundled = [item for group in planned.groups for item in group]
    assert sorted([*bundled, *planned.others], key=items.index) == items
    assert plan(items[::-1]).groups == planned.groups
    assert all(item.entry.size < bundles.SMALL for item in bundled)
    assert not bundled or len(bundled) >= bundles.FEWEST
    for group in planned.groups:
        assert sum(len(header(item)) + padded(item.entry.size) for item in group) <= bundles.LARGEST


_NAMES = st.one_of(st.text(min_size=1, max_size=1000).map(str.encode), st.binary(min_size=1, max_size=1000))


@given(_NAMES.map(lambda name: os.fsdecode(name.replace(b"\0", b"0"))))
def test_plans_reserve_enough_for_headers(name: str) -> None:
    item = Item(Entry(name, size=1), name)
    (group,) = plan([replace(item, target=f"{number}{name}") for number in range(16)]).groups
    assert all(
        len(header(one)) <= 4 * 512 + padded(2 * len(name.encode("utf-8", "surrogateescape")) + 8)
        for one in group
    )


@pytest.mark.parametrize(
    "stored", [None, [], {}, {"bundle": "x", "offset": -1, "size": 1}, {"bundle": 1, "offset": 0, "size": 0}]
)
def test_places_that_are_none_are_refused(stored: object) -> None:
    with pytest.raises(TransferError, match="is no place in a bundle"):
        Place.from_json(stored)


def test_links_are_not_bundled() -> None:
    links = [Item(Entry(f"{number}", link="x"), f"{number}") for number in range(20)]
    assert plan(links).groups == ()


def test_headers_are_those_of_tar() -> None:
    item = Item(Entry("a", size=3, mtime_ns=MTIME_NS, mode=0o751), "a")
    archive = io.BytesIO(header(item) + b"abc" + bytes(509) + bundles.END)
    with tarfile.open(fileobj=archive) as opened:
        (member,) = opened.getmembers()
    assert (member.name, member.size, member.mode, member.mtime) == ("a", 3, 0o751, MTIME_NS // 10**9)
