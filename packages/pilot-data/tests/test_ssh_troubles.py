"""What goes wrong on the way: connections that are cut, servers that restart, disks that are full, keys that change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from pilot_data.adaptors.ssh.arriving import Arriving
from pilot_data.adaptors.ssh.remote_hash_script import Questions, digest
from pilot_data.adaptors.ssh.replies import Reply
from pilot_data.entries import Item, is_partial
from pilot_data.errors import (
    AccessDeniedError,
    CanceledError,
    ChecksumError,
    ConnectionLostError,
    NoSpaceError,
)
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.retry import move_with_retries
from pilot_data.storage import Access, Storage
from pilot_data.testing.sample_files import content, read_all, write, write_all
from pilot_data.testing.storage_fixture import LARGE, canceled_on_the_way, failed, landed, names_below
from pilot_protocol.data_descriptions import SSH_CLIENTS
from small_disk import small_disk
from ssh_hosts import REKEY, SshHost, running_host


@pytest.fixture(scope="module")
def server() -> Iterator[SshHost]:
    with running_host() as running:
        yield running


@pytest.fixture(params=SSH_CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def host(server: SshHost, client: str, monkeypatch: pytest.MonkeyPatch) -> SshHost:
    monkeypatch.setenv("PILOT_SSH_CONFIG", str(server.config_file))
    server.client = client
    return server


@contextmanager
def opened(host: SshHost, path: Path) -> Iterator[Storage]:
    storage = open_storage(host.at(path), Access(ssh_client=host.client))
    try:
        yield storage
    finally:
        storage.close()


def once_after(count: int, act: Callable[[], None]) -> Job:
    """Return a job that does something when so many bytes have moved."""
    moved: list[int] = []

    def note(more: int) -> None:
        before = sum(moved)
        moved.append(more)
        if before < count <= before + more:
            act()

    return Job(on_bytes=note)


def test_a_put_that_is_cut_goes_on_where_it_stopped(host: SshHost, here: str, tmp_path: Path) -> None:
    item = write(here, "large", content(3 * LARGE))
    with opened(host, tmp_path / "store") as storage:
        with pytest.raises(ConnectionLostError) as caught:
            landed(storage.put_many(here, [item], once_after(LARGE, host.cut_sessions)))
        assert caught.value.transient
        (partial,) = names_below(str(tmp_path / "store"))
        assert is_partial(partial)
        moved: list[int] = []
        landed(storage.put_many(here, [item], Job(on_bytes=moved.append)))
        assert 0 < sum(moved) <= 2 * LARGE
    assert read_all(str(tmp_path / "store")) == read_all(here)


def test_a_get_that_is_cut_goes_on_where_it_stopped(host: SshHost, here: str, tmp_path: Path) -> None:
    there = str(tmp_path / "there")
    write(here, "large", content(3 * LARGE))
    with opened(host, Path(here)) as storage:
        items = [Item(entry, entry.path) for entry in storage.list()]
        with pytest.raises(ConnectionLostError):
            landed(storage.get_many(items, there, once_after(LARGE, host.cut_sessions)))
        moved: list[int] = []
        landed(storage.get_many(items, there, Job(on_bytes=moved.append)))
        assert 0 < sum(moved) < 3 * LARGE
    assert read_all(there) == read_all(here)


def test_a_storage_outlives_its_server(
    client: str, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_host() as host:
        host.client = client
        monkeypatch.setenv("PILOT_SSH_CONFIG", str(host.config_file))
        with opened(host, tmp_path / "store") as storage:
            landed(storage.put_many(here, [write(here, "a", b"1")], Job()))
            host.stop()
            with pytest.raises(ConnectionLostError):
                list(storage.list())
            host.start()
            assert [entry.path for entry in storage.list()] == ["a"]


def test_new_keys_in_the_middle_of_a_transfer(
    client: str, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [
        write(here, "large", content(LARGE)),
        *write_all(here, [f"{number}" for number in range(300)], 5000),
    ]
    there = str(tmp_path / "there")
    with running_host(*REKEY) as host:
        host.client = client
        monkeypatch.setenv("PILOT_SSH_CONFIG", str(host.config_file))
        with opened(host, tmp_path / "store") as storage:
            landed(storage.put_many(here, items, Job()))
            landed(storage.get_many([Item(entry, entry.path) for entry in storage.list()], there, Job()))
    assert read_all(there) == read_all(here)


PUT = """
import sys
from pilot_data.entries import Item
from pilot_data.job import Job
from pilot_data.locations import parse
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Access
here, there, client = sys.argv[1:]
moved = []
def note(count):
    moved.append(count)
    if sum(moved) >= 4 << 20:
        print("moved", flush=True)
        sys.stdin.read()
items = [Item(entry, entry.path) for entry in open_storage(parse(here)).list()]
list(open_storage(parse(there), Access(ssh_client=client)).put_many(here, items, Job(on_bytes=note)))
"""


def test_a_second_attempt_after_a_kill(host: SshHost, here: str, tmp_path: Path) -> None:
    item = write(here, "large", content(3 * LARGE))
    arguments = [sys.executable, "-c", PUT, here, str(host.at(tmp_path / "store")), host.client]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"moved\n"
        process.send_signal(signal.SIGKILL)
    assert all(is_partial(name) for name in names_below(str(tmp_path / "store")))
    with opened(host, tmp_path / "store") as storage:
        landed(storage.put_many(here, [item], Job()))
    assert read_all(str(tmp_path / "store")) == read_all(here)


@pytest.mark.faults
def test_a_full_disk_is_told_as_one(host: SshHost, here: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=4m,mode=0777") as disk, opened(host, disk / "store") as storage:
        item = write(here, "large", content(LARGE))
        with pytest.raises(NoSpaceError, match="large: the file system is full"):
            landed(storage.put_many(here, [item], Job()))
        storage.discard_many([item])
        landed(storage.put_many(here, [write(here, "small", b"x")], Job()))
        assert names_below(str(disk / "store")) == ["small"]


def test_a_partial_with_another_content_does_not_land(host: SshHost, here: str, tmp_path: Path) -> None:
    item = write(here, "large", content(LARGE))
    write(str(tmp_path / "store"), item.partial, content(LARGE // 2, seed=1))
    with opened(host, tmp_path / "store") as storage:
        assert list(failed(storage.put_many(here, [item], Job()))) == ["large"]
        assert names_below(str(tmp_path / "store")) == []
        landed(storage.put_many(here, [item], Job()))
    assert read_all(str(tmp_path / "store")) == read_all(here)


def begun_anew_when_verified(monkeypatch: pytest.MonkeyPatch, here: str, item: Item, other: Storage) -> None:
    """Let another process throw a partial file away, and begin it anew, between its verification and its new name."""
    whole = Arriving._is

    async def verified(arriving: Arriving, path: bytes, expected: str, told: Reply | None) -> bool:
        monkeypatch.setattr(Arriving, "_is", whole)
        is_it = await arriving._is(path, expected, told)
        other.discard_many([item])
        with pytest.raises(CanceledError):
            landed(other.put_many(here, [item], canceled_on_the_way()))
        return is_it

    monkeypatch.setattr(Arriving, "_is", verified)


def test_what_another_begins_anew_is_not_told_as_landed(
    host: SshHost, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = write(here, "large", content(3 * LARGE))
    with opened(host, tmp_path / "store") as storage, opened(host, tmp_path / "store") as other:
        begun_anew_when_verified(monkeypatch, here, item, other)
        error = failed(storage.put_many(here, [item], Job()))["large"]
        assert isinstance(error, ChecksumError)
        assert error.transient


def test_what_another_begins_anew_is_brought_again(
    host: SshHost, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = write(here, "large", content(3 * LARGE))
    with opened(host, tmp_path / "store") as storage, opened(host, tmp_path / "store") as other:
        begun_anew_when_verified(monkeypatch, here, item, other)
        job = Job()
        landed(move_with_retries(partial(storage.put_many, here, job=job), [item], job))
    assert read_all(str(tmp_path / "store")) == read_all(here)


def test_a_file_whose_name_another_gets_while_it_is_hashed_has_no_hash(tmp_path: Path) -> None:
    write(str(tmp_path), "a", b"1")
    write(str(tmp_path), "b", b"2")

    class Renaming(Questions):
        def look(self, seconds: float = 0.0) -> None:
            os.rename(tmp_path / "b", tmp_path / "a")

    path = os.fsencode(tmp_path / "a")
    assert digest(path, 1, Renaming()) == "-"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(host: SshHost, here: str, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with opened(host, tmp_path / "store") as storage:
        errors = failed(storage.put_many(here, [write(here, "a/b", b"1")], Job()))
    assert isinstance(errors["a/b"], AccessDeniedError)


def test_files_are_copied_within_a_host(host: SshHost, here: str, tmp_path: Path) -> None:
    items = [*write_all(here, ["a/1", "2", "line\nbreak"]), write(here, "large", content(LARGE))]
    with opened(host, Path(here)) as source, opened(host, tmp_path / "store") as storage:
        assert storage.copies_from(source)
        outcomes = landed(storage.copy_many(source, items, Job()))
        assert all(outcome.checksum for outcome in outcomes)
        assert {entry.path: entry.mode for entry in storage.list()} == {item.target: 0o640 for item in items}
    assert read_all(str(tmp_path / "store")) == read_all(here)


def test_a_folder_of_this_machine_is_not_copied_from(host: SshHost, tmp_path: Path) -> None:
    assert not open_storage(host.at(tmp_path)).copies_from(open_storage(Location("file", path="/")))


def test_a_home_is_found(host: SshHost) -> None:
    with opened(host, Path("~")) as home, opened(host, Path(os.path.expanduser("~"))) as same:
        assert home.free_bytes() is not None
        assert next(iter(home.list([".profile"])), None) == next(iter(same.list([".profile"])), None)


def test_other_requests_may_be_made_while_results_are_looked_at(
    host: SshHost, here: str, tmp_path: Path
) -> None:
    items = write_all(here, [f"{number}/{number}" for number in range(50)])
    with opened(host, tmp_path / "store") as storage:
        for outcome in storage.put_many(here, items, Job()):
            assert [entry.path for entry in storage.list([outcome.item.target])] == [outcome.item.target]
        for entry in storage.list():
            storage.remove_many([entry.path])
        assert list(storage.list()) == []
