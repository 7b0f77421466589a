"""Objects that a service copies by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pilot_data.adaptors.s3 import copies
from pilot_data.adaptors.s3 import storage as s3_storage
from pilot_data.adaptors.s3.storage import S3Storage
from pilot_data.entries import Entry, Item
from pilot_data.errors import ChangedSourceError, MissingFileError
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Access
from pilot_data.testing.sample_files import HARD_NAMES, content, read_all, write, write_all
from pilot_data.testing.storage_fixture import failed, landed, sha256
from s3_servers import RcloneServer, S3Service, stored

MIB = 1 << 20

pytestmark = pytest.mark.usefixtures("s3_keys")


@pytest.fixture(params=["moto", "rclone"])
def service(request: pytest.FixtureRequest) -> S3Service:
    found: S3Service | RcloneServer = request.getfixturevalue(request.param)
    return found.service if isinstance(found, RcloneServer) else found


@pytest.fixture
def source(service: S3Service) -> Iterator[S3Storage]:
    found = service.storage()
    yield found
    found.close()


@pytest.fixture
def target(service: S3Service) -> Iterator[S3Storage]:
    found = service.storage()
    yield found
    found.close()


def test_files_of_all_names_are_copied(
    source: S3Storage, target: S3Storage, here: str, tmp_path: Path
) -> None:
    names = [name for name in HARD_NAMES if not set(name) & set("\n\t\r")]
    landed(source.put_many(here, write_all(here, names), Job()))
    assert target.copies_from(source)
    items = [Item(entry, f"copy/{entry.path}") for entry in source.list()]
    outcomes = landed(target.copy_many(source, items, Job()))
    listed = [Item(entry, entry.path.removeprefix("copy/")) for entry in target.list()]
    landed(target.get_many(listed, str(tmp_path / "there"), Job()))
    assert read_all(str(tmp_path / "there")) == read_all(here)
    assert {outcome.item.entry.path: outcome.checksum for outcome in outcomes} == {
        path: sha256(data) for path, data in read_all(here).items()
    }


def test_what_is_missing_or_another_by_now_is_told(source: S3Storage, target: S3Storage, here: str) -> None:
    landed(source.put_many(here, write_all(here, ["good", "grown", "other"]), Job()))
    listed = {entry.path: entry for entry in source.list()}
    items = [
        Item(Entry("absent", size=1), "absent"),
        Item(replace(listed["grown"], size=5), "grown"),
        Item(replace(listed["other"], checksum="0" * 64), "other"),
        Item(listed["good"], "good"),
    ]
    errors = failed(target.copy_many(source, items, Job()))
    assert {path: type(error) for path, error in errors.items()} == {
        "absent": MissingFileError,
        "grown": ChangedSourceError,
        "other": ChangedSourceError,
    }
    assert stored(target) == ["good"]


def test_large_objects_are_copied_in_parts(
    moto: S3Service, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "LARGEST", 8 * MIB)
    monkeypatch.setattr(s3_storage, "LARGEST", 8 * MIB)
    monkeypatch.setattr(copies, "_PART", 5 * MIB)
    source, target = moto.storage(), moto.storage()
    landed(source.put_many(here, [write(here, "x", content(12 * MIB + 1))], Job()))
    (entry,) = source.list()
    landed(target.copy_many(source, [Item(entry, "y")], Job()))
    (entry,) = target.list()
    landed(target.get_many([Item(entry, "x")], str(tmp_path / "there"), Job()))
    assert read_all(str(tmp_path / "there")) == {"x": content(12 * MIB + 1)}
    source.close()
    target.close()


def test_a_service_that_copies_parts_without_their_content_is_found_out(
    rclone: RcloneServer, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As rclone 1.75 does."""
    monkeypatch.setattr(copies, "LARGEST", 8 * MIB)
    monkeypatch.setattr(copies, "_PART", 5 * MIB)
    source, target = rclone.service.storage(), rclone.service.storage()
    landed(source.put_many(here, [write(here, "x", content(12 * MIB))], Job()))
    (entry,) = source.list()
    errors = failed(target.copy_many(source, [Item(entry, "y")], Job()))
    assert "does not copy objects in parts" in str(errors["y"])
    assert stored(target) == []
    source.close()
    target.close()


def test_other_services_and_other_keys_are_no_sources(moto: S3Service, rclone: RcloneServer) -> None:
    target = moto.storage()
    assert not target.copies_from(rclone.service.storage())
    assert not target.copies_from(S3Storage(target.location, Access(endpoint_url=moto.url, profile="other")))
    with pytest.raises(NotImplementedError, match="cannot copy from file"):
        target.copy_many(open_storage(Location("file", path="/tmp")), [], Job())
