"""What becomes of a data unit when the server or the process that stages it dies on the way."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pilot_data import moving, staging
from pilot_data.data_unit import DataUnit
from pilot_data.entries import Item, Outcome
from pilot_data.job import Job
from pilot_data.pilot_data_service import PilotDataService
from pilot_data.storage import Storage
from pilot_protocol import data_ops
from pilot_protocol.keys import Keys
from pilot_protocol.states import State
from pilot_session import coordination_url
from redis_process import RedisProcess
from shared_data import running_server, standing_still, use_home

LIMIT_S = 50.0
pytestmark = pytest.mark.faults


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisProcess]:
    """A server of the test's own, and a user who has never run anything."""
    use_home(tmp_path, monkeypatch)
    with tempfile.TemporaryDirectory(prefix="pd-") as folder, running_server(Path(folder)) as server:
        yield server


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with files."""
    return make_files(tmp_path / "run", 4)


def make_files(folder: Path, count: int) -> Path:
    """Fill a folder."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{folder.name}-{number}").write_text(f"content {number}" * 100)
    return folder


def names_at(unit: DataUnit) -> set[str]:
    """Return the names of the files that a replica has."""
    (store,) = unit.list_pilot_data()
    folder = Path(store.url_for_du(unit).removeprefix("file://"))
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    listed = unit.list()
    assert set(listed) == found
    assert all((folder / name).stat().st_size == about["size"] for name, about in listed.items())
    return {Path(name).name for name in found}


def pass_leases(server: RedisProcess, url: str) -> None:
    """Let the lease of a data unit's only replica have passed, without waiting for it."""
    found = coordination_url.parse_object_url(url)
    name = Keys(found.session).named("replicas")
    with server.client() as client:
        parts = client.hget(name, found.id).split(b"|")
        assert parts[1] == b"R"
        client.hset(name, found.id, b"|".join([*parts[:3], b"0", *parts[4:]]))


@pytest.mark.parametrize("away", ["between two files", "until all are moved"])
def test_a_server_that_dies_and_comes_back_loses_nothing(
    server: RedisProcess, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    moved = threading.Event()

    def move(source: Storage, target: Storage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        yield from moving.move(source, target, items[:2], job)
        server.kill()
        if away == "between two files":
            server.start()
        yield from moving.move(source, target, items[2:], job)
        moved.set()

    monkeypatch.setattr(staging, "move", move)
    service = PilotDataService(server.url)
    store = service.create_pilot({"service_url": f"file://{tmp_path}/store"})
    unit = store.submit_data_unit({"file_urls": [str(run)]})
    assert moved.wait(LIMIT_S)
    if away == "until all are moved":
        server.start()
    assert unit.wait(LIMIT_S)
    assert unit.state is State.Running
    assert names_at(unit) == {f"run-{number}" for number in range(4)}
    assert store.details["used"] == unit.details["bytes"]
    assert [file["checksum"] != "" for file in unit.details["files"].values()].count(True) == 4


def test_who_comes_after_a_process_that_was_killed_goes_on(
    server: RedisProcess, run: Path, tmp_path: Path
) -> None:
    with standing_still(server.url, tmp_path / "store", str(run)) as (service_url, unit_url, process):
        process.kill()
        process.wait()
    pass_leases(server, unit_url)
    service, unit = PilotDataService(pds_url=service_url), DataUnit(unit_url)
    assert unit.wait(LIMIT_S)
    assert unit.state is State.Running
    assert names_at(unit) == {f"run-{number}" for number in range(4)}
    (store,) = service.list_pilots()
    assert store.details["used"] == unit.details["bytes"] == 4 * 900


def test_who_is_alive_is_left_alone(server: RedisProcess, run: Path, tmp_path: Path) -> None:
    with standing_still(server.url, tmp_path / "store", str(run)) as (service_url, unit_url, process):
        PilotDataService(pds_url=service_url)
        unit = DataUnit(unit_url)
        assert not unit.wait(0)
        found = coordination_url.parse_object_url(unit_url)
        with server.client() as client:
            reply = client.hget(Keys(found.session).named("replicas"), found.id)
        (replica,) = data_ops.replicas(Keys(found.session), found.id).parse(reply)
        assert replica.letter == "R"
        process.kill()
        process.wait()
        pass_leases(server, unit_url)
        PilotDataService(pds_url=service_url)
        assert unit.wait(LIMIT_S)
    assert names_at(unit) == {f"run-{number}" for number in range(4)}


def test_files_that_are_gone_end_the_data_unit(server: RedisProcess, run: Path, tmp_path: Path) -> None:
    with standing_still(server.url, tmp_path / "store", str(run)) as (service_url, unit_url, process):
        process.kill()
        process.wait()
    for path in run.iterdir():
        path.unlink()
    run.rmdir()
    pass_leases(server, unit_url)
    service, unit = PilotDataService(pds_url=service_url), DataUnit(unit_url)
    assert unit.wait(LIMIT_S)
    assert unit.state is State.Failed
    assert str(run) in unit.details["reason"]
    assert [store.details["used"] for store in service.list_pilots()] == [0]


def test_what_was_whole_stays_when_adding_was_broken_off(
    server: RedisProcess, run: Path, tmp_path: Path
) -> None:
    more = make_files(tmp_path / "more", 3)
    with standing_still(server.url, tmp_path / "store", str(run), str(more)) as (
        service_url,
        unit_url,
        process,
    ):
        process.kill()
        process.wait()
    for path in run.iterdir():
        path.unlink()
    pass_leases(server, unit_url)
    service, unit = PilotDataService(pds_url=service_url), DataUnit(unit_url)
    assert unit.wait(LIMIT_S)
    assert unit.state is State.Running
    kept = {f"run-{number}" for number in range(4)}
    assert kept <= names_at(unit) <= {*kept, *(f"more-{number}" for number in range(3))}
    assert len(names_at(unit)) == 5
    (store,) = service.list_pilots()
    assert store.details["used"] == unit.details["bytes"]
