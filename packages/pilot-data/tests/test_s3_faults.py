"""S3 services that are busy, lose connections, send wrong bytes, or die; and programs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_proxy import Faults, running_proxy
from pilot_data.adaptors.s3 import gets, puts
from pilot_data.adaptors.s3.keys import SMALL
from pilot_data.adaptors.s3.storage import S3Storage
from pilot_data.entries import Item, Outcome, is_partial
from pilot_data.errors import BusyError, CanceledError, ChecksumError, ConnectionLostError, TransferError
from pilot_data.job import Job
from pilot_data.testing.sample_files import content, read_all, write, write_all
from pilot_data.testing.storage_fixture import canceled_on_the_way, failed, landed, sha256
from s3_servers import (
    BUCKET,
    RcloneServer,
    S3Service,
    environment,
    running_rclone,
    stored,
)
from small_disk import small_disk

LARGE = 20 * 1024 * 1024  # two parts, and three ranges

pytestmark = pytest.mark.usefixtures("s3_keys")


@pytest.fixture(scope="module")
def proxy(rclone: RcloneServer) -> Iterator[Faults]:
    with running_proxy(rclone.service.url) as faults:
        yield faults


@pytest.fixture
def storage(proxy: Faults) -> Iterator[S3Storage]:
    found = S3Service(proxy.url).storage()
    yield found
    found.close()


def _listed(storage: S3Storage) -> list[Item]:
    return [Item(entry, entry.path) for entry in storage.list()]


def test_a_busy_service_is_told_as_such_and_may_be_asked_again(
    storage: S3Storage, proxy: Faults, here: str
) -> None:
    item = write(here, "x", b"content")
    _ = storage.bucket
    proxy.busy = 2
    errors = failed(storage.put_many(here, [item], Job()))
    assert [type(error) for error in errors.values()] == [BusyError]
    assert "fewer requests" in str(errors["x"])
    landed(storage.put_many(here, [item], Job()))
    assert stored(storage) == ["x"]


@pytest.mark.parametrize("size", [100, LARGE])
def test_wrong_bytes_on_the_way_there_are_not_kept(
    storage: S3Storage, proxy: Faults, here: str, size: int
) -> None:
    item = write(here, "x", content(size))
    proxy.sent = 1
    errors = failed(storage.put_many(here, [item], Job()))
    assert [type(error) for error in errors.values()] == [ChecksumError]
    assert stored(storage) == []
    landed(storage.put_many(here, [item], Job()))


@pytest.mark.parametrize("size", [100, LARGE])
def test_wrong_bytes_on_the_way_back_are_not_kept(
    storage: S3Storage, proxy: Faults, here: str, there: str, size: int
) -> None:
    landed(storage.put_many(here, [write(here, "x", content(size))], Job()))
    items = _listed(storage)
    proxy.answered = 1
    errors = failed(storage.get_many(items, there, Job()))
    assert [type(error) for error in errors.values()] == [ChecksumError]
    assert read_all(there) == {}
    landed(storage.get_many(items, there, Job()))
    assert read_all(there) == {"x": content(size)}


@pytest.mark.parametrize("size", [100_000, LARGE])
def test_an_answer_that_ends_early_is_a_lost_connection(
    storage: S3Storage, proxy: Faults, here: str, there: str, size: int
) -> None:
    landed(storage.put_many(here, [write(here, "x", content(size))], Job()))
    items = _listed(storage)
    proxy.cut = 1
    with pytest.raises(ConnectionLostError):
        landed(storage.get_many(items, there, Job()))
    assert all(is_partial(path) for path in read_all(there))
    landed(storage.get_many(items, there, Job()))
    assert read_all(there) == {"x": content(size)}


def test_what_has_landed_before_the_storage_fails_is_told(
    storage: S3Storage, proxy: Faults, here: str, there: str
) -> None:
    landed(storage.put_many(here, write_all(here, [f"{number}" for number in range(200)]), Job()))
    items = _listed(storage)
    proxy.cut = 1
    told: list[Outcome] = []
    with pytest.raises(ConnectionLostError):
        told.extend(storage.get_many(items, there, Job()))
    assert sorted(outcome.item.target for outcome in told) == sorted(
        path for path in read_all(there) if not is_partial(path)
    )


def test_a_get_goes_on_behind_what_has_arrived(
    storage: S3Storage, proxy: Faults, here: str, there: str
) -> None:
    landed(storage.put_many(here, [write(here, "x", content(LARGE))], Job()))
    items = _listed(storage)
    with pytest.raises(CanceledError):
        landed(storage.get_many(items, there, canceled_on_the_way(LARGE // 2)))
    (partial,) = read_all(there).values()
    assert partial == content(LARGE)[: len(partial)]
    assert len(partial) >= LARGE // 2
    moved: list[int] = []
    landed(storage.get_many(items, there, Job(on_bytes=moved.append)))
    assert sum(moved) == LARGE - len(partial)
    assert read_all(there) == {"x": content(LARGE)}


def test_a_put_that_was_killed_goes_on_with_its_parts(
    rclone: RcloneServer, here: str, there: str, tmp_path: Path
) -> None:
    with _killed_put(rclone.service, here, tmp_path) as (storage, item):
        assert stored(storage) == ["x (upload)"]
        moved: list[int] = []
        (outcome,) = landed(storage.put_many(here, [item], Job(on_bytes=moved.append)))
        assert outcome.checksum == sha256(content(LARGE))
        assert sum(moved) < LARGE
        assert stored(storage) == ["x"]
        landed(storage.get_many(_listed(storage), there, Job()))
        assert read_all(there) == {"x": content(LARGE)}


def test_parts_of_a_file_that_has_changed_since_are_not_used(
    moto: S3Service, here: str, there: str, tmp_path: Path
) -> None:
    with _killed_put(moto, here, tmp_path) as (storage, _item):
        changed = write(here, "x", content(LARGE, seed=1))
        landed(storage.put_many(here, [changed], Job()))
        landed(storage.get_many(_listed(storage), there, Job()))
        assert read_all(there) == {"x": content(LARGE, seed=1)}
        storage.discard_many([changed])
        assert stored(storage) == ["x"]


_PUT = """
import os, sys
from pilot_data.entries import Entry, Item
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Access
url, bucket, prefix, root, size, mtime_ns = sys.argv[1:]
item = Item(Entry("x", size=int(size), mtime_ns=int(mtime_ns)), "x")
storage = open_storage(Location("s3", host=bucket, path=prefix), Access(endpoint_url=url))
def moved(count):  # a part has arrived
    print("moved", flush=True)
    sys.stdin.read()
list(storage.put_many(root, [item], Job(on_bytes=moved)))
"""


class _killed_put:  # noqa: N801 - used like a function
    """Leave behind what a program did that was killed when a part of a file had arrived."""

    def __init__(self, service: S3Service, here: str, folder: Path) -> None:
        self._item = write(here, "x", content(LARGE))
        self._storage = service.storage()
        entry = self._item.entry
        program = subprocess.Popen(
            [
                *(sys.executable, "-c", _PUT, service.url, BUCKET, self._storage.location.path, here),
                *(str(entry.size), str(entry.mtime_ns)),
            ],
            env={**os.environ, **environment(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with program:
            assert program.stdout is not None
            assert program.stdout.readline() == b"moved\n"
            program.send_signal(signal.SIGKILL)

    def __enter__(self) -> tuple[S3Storage, Item]:
        return self._storage, self._item

    def __exit__(self, *_about: object) -> None:
        self._storage.close()


def test_a_service_that_is_started_again_in_the_middle(
    tmp_path: Path, here: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gets, "_RANGES_AHEAD", 1)
    monkeypatch.setattr(puts, "_PARTS_AHEAD", 1)
    item = write(here, "x", content(LARGE))
    with running_rclone(tmp_path / "data") as server:
        storage = server.service.storage()
        with pytest.raises(ConnectionLostError):
            landed(storage.put_many(here, [item], Job(on_bytes=lambda _count: server.kill())))
        server.start()
        landed(storage.put_many(here, [item], Job()))
        items = _listed(storage)
        with pytest.raises(ConnectionLostError):
            landed(storage.get_many(items, there, Job(on_bytes=lambda _count: server.kill())))
        server.start()
        landed(storage.get_many(items, there, Job()))
        assert read_all(there) == {"x": content(LARGE)}
        storage.close()


def test_a_service_whose_disk_is_full_keeps_no_part_of_a_file(tmp_path: Path, here: str, there: str) -> None:
    with small_disk(tmp_path / "disk", "size=4m,mode=0777") as disk, running_rclone(disk / "data") as server:
        storage = server.service.storage()
        landed(storage.put_many(here, [write(here, "before", content(1 << 20))], Job()))
        try:
            errors = failed(storage.put_many(here, [write(here, "too large", content(6 << 20))], Job()))
        except TransferError as error:  # the service says no more than that it failed
            errors = {"too large": error}
        assert list(errors) == ["too large"]
        (item,) = _listed(storage)
        landed(storage.get_many([item], there, Job()))
        assert read_all(there) == {"before": content(1 << 20)}
        storage.close()


def test_an_object_that_changes_while_it_is_read_is_not_kept(
    storage: S3Storage, here: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gets, "_RANGES_AHEAD", 1)
    landed(storage.put_many(here, [write(here, "x", content(2 * SMALL + 1))], Job()))
    items = _listed(storage)
    others = write(here, "x", content(2 * SMALL + 1, seed=1))
    moved: list[int] = []

    def change(count: int) -> None:
        if not moved:
            landed(storage.put_many(here, [others], Job()))
        moved.append(count)

    errors = failed(storage.get_many(items, there, Job(on_bytes=change)))
    assert "changed while it was read" in str(errors["x"])
    assert read_all(there) == {}
