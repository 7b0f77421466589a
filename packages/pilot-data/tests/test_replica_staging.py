"""Making replicas: one lease for each, what goes wrong on the way, and what is left when it ends early."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from hindered_storage import Hindrance
from pilot_data import (
    DataUnit,
    DescriptionError,
    PilotData,
    PilotDataService,
    State,
    StateError,
    TransferError,
    landing,
    markers,
)
from pilot_data.adaptors.file import FileStorage
from pilot_data.data_session import DataSession
from pilot_data.entries import Item, Outcome
from pilot_data.errors import ConnectionLostError
from pilot_data.job import Job
from pilot_data.testing.sample_files import read_all, write, write_all
from small_disk import small_disk

MakePilotData = Callable[..., PilotData]
Hinder = Callable[..., Hindrance]


@pytest.fixture(params=["memory", "redis"])
def catalogue_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stored(pd: PilotData, unit: DataUnit) -> list[str]:
    """Return the names of all that lies at a Pilot-Data of a data unit, partial files as well."""
    return sorted(read_all(pd.url_for_du(unit).removeprefix("file://")))


@pytest.fixture
def moving(pd: PilotData, here: str, hinder: Hinder) -> tuple[DataUnit, Hindrance]:
    """A data unit of three files, one of which has landed."""
    write_all(here, ["a", "b", "c"])
    held = hinder("/store/", after=1)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert held.reached.wait(30)
    assert stored(pd, unit) == ["a"]
    return unit, held


# --- canceled on the way ----------------------------------------------------------------------------------------------


def test_a_data_unit_canceled_on_its_way_leaves_nothing(
    pd: PilotData, moving: tuple[DataUnit, Hindrance]
) -> None:
    unit, _held = moving
    unit.cancel()
    assert stored(pd, unit) == []
    assert (unit.state, unit.list_pilot_data(), pd.details["used"]) == (State.Canceled, [], 0)
    assert unit.wait(5)


def test_a_place_canceled_on_the_way_leaves_nothing(
    pd: PilotData, moving: tuple[DataUnit, Hindrance]
) -> None:
    unit, _held = moving
    pd.cancel()
    assert stored(pd, unit) == []
    assert (unit.state, pd.state) == (State.Canceled, State.Canceled)


def test_a_replica_removed_on_its_way_leaves_nothing(
    pd: PilotData, make_pd: MakePilotData, here: str, hinder: Hinder
) -> None:
    write_all(here, ["a", "b", "c"])
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert unit.wait(30)
    other = make_pd("other")
    held = hinder("/other/", after=1)
    unit.add_pilot_data(other)
    assert held.reached.wait(30)
    other.remove_du(unit)
    assert stored(other, unit) == []
    assert (unit.state, unit.list_pilot_data(), other.details["used"]) == (State.Running, [pd], 0)
    held.go.set()
    other.put_du(unit)
    assert stored(other, unit) == ["a", "b", "c"]


def test_a_large_file_canceled_on_its_way_leaves_nothing(
    pd: PilotData, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, "large", bytes(8 << 20))
    started = threading.Event()
    moved = Job.moved

    def slow(job: Job, count: int) -> None:
        started.set()
        assert job._canceled.wait(30)
        moved(job, count)

    monkeypatch.setattr(Job, "moved", slow)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/large"]})
    assert started.wait(30)
    assert stored(pd, unit)[0].startswith(".pilot-part-")
    unit.cancel()
    assert stored(pd, unit) == []


def test_one_of_two_places_canceled_on_the_way(
    pd: PilotData, make_pd: MakePilotData, here: str, hinder: Hinder
) -> None:
    write_all(here, ["a", "b"])
    held = hinder("/store/", after=1)
    other = make_pd("other")
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"], "number_of_replicas": 2})
    assert held.reached.wait(30)
    pd.cancel()
    assert unit.wait(30)
    assert (unit.state, unit.list_pilot_data()) == (State.Running, [other])
    assert (stored(pd, unit), stored(other, unit)) == ([], ["a", "b"])


def test_places_canceled_while_data_units_still_queue(
    pd: PilotData, make_pd: MakePilotData, here: str, hinder: Hinder
) -> None:
    write_all(here, ["a"])
    hinder("/store/")
    later = make_pd("later")
    units = [place.submit_data_unit({"file_urls": [f"{here}/a"]}) for place in [pd] * 8 + [later] * 2]
    later.cancel()
    pd.cancel()
    for unit in units:
        assert unit.wait(30)
        assert unit.state is State.Canceled
        assert (stored(pd, unit), stored(later, unit)) == ([], [])


def test_settling_and_canceling_may_meet(pd: PilotData, here: str) -> None:
    write_all(here, [f"{number}" for number in range(20)])
    with ThreadPoolExecutor(1) as pool:
        for _ in range(10):
            unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
            waiting = pool.submit(unit.wait, 30)
            unit.cancel()
            assert waiting.result()
            assert (unit.state, stored(pd, unit)) == (State.Canceled, [])
    assert pd.details["used"] == 0


def test_many_threads_may_use_one_place(service: PilotDataService, pd: PilotData, here: str) -> None:
    write_all(here, ["a", "b"])

    def use(number: int) -> int:
        unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
        assert unit.wait(50)
        unit.add_files([f"{here}/b"])
        if number % 2:
            unit.cancel()
        return len(stored(pd, unit))

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(use, range(24))) == [0] * 12 + [2] * 12
    assert pd.details["used"] == 12 * 200


def test_files_are_added_by_several_at_once(pd: PilotData, here: str) -> None:
    write_all(here, [f"{number}" for number in range(8)])
    unit = pd.submit_data_unit({})
    assert unit.wait(30)
    gate = threading.Barrier(8)

    def add(number: int) -> None:
        gate.wait(30)
        is_added = False
        while not is_added and unit.wait(30):
            with suppress(StateError):  # another one is adding just now
                unit.add_files([f"{here}/{number}"])
                is_added = True

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert sorted(unit.list()) == stored(pd, unit) == [f"{number}" for number in range(8)]


# --- one lease --------------------------------------------------------------------------------------------------------


def test_two_that_want_one_replica_move_it_once(
    session: DataSession, pd: PilotData, make_pd: MakePilotData, here: str, hinder: Hinder
) -> None:
    write_all(here, ["a", "b"])
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert unit.wait(30)
    other = make_pd("other")
    held = hinder("/other/")
    for _ in range(3):
        session.stager.ask(unit.id, [other.id])
    assert held.reached.wait(30)
    held.go.set()
    assert unit.wait(30)
    session.stop_staging()
    assert held.begun == 1
    assert stored(other, unit) == ["a", "b"]
    assert unit.state is State.Running


def test_who_has_lost_the_lease_touches_nothing(
    session: DataSession, pd: PilotData, moving: tuple[DataUnit, Hindrance], monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, _held = moving
    replica = session.catalogue.data_unit(unit.id).replicas[pd.id]  # type: ignore[union-attr]
    session.catalogue.settle(replica._replace(letter="D"))  # somebody else has taken over, and has made it
    session.stop_staging()
    assert stored(pd, unit) == ["a"]
    assert unit.state is State.Running


def test_staging_that_is_stopped_ends_what_waits_for_it(
    session: DataSession,
    pd: PilotData,
    make_pd: MakePilotData,
    moving: tuple[DataUnit, Hindrance],
    here: str,
) -> None:
    unit, _held = moving
    queued = [pd.submit_data_unit({"file_urls": [f"{here}/"]}) for _ in range(8)]
    unit.add_pilot_data(make_pd("other"))
    session.stop_staging()
    for each in (unit, *queued):
        assert each.wait(30)
        assert each.state in {State.Failed, State.Canceled}
        assert stored(pd, each) == []
    assert queued[-1].details["reason"]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_file_that_changed_since_it_was_submitted(pd: PilotData, here: str, hinder: Hinder) -> None:
    write_all(here, ["a", "b"])
    held = hinder("/store/")
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert held.reached.wait(30)
    Path(here, "b").write_bytes(b"other content")
    held.go.set()
    assert unit.wait(30)
    assert unit.state is State.Failed
    assert f"{here}/b has changed since it was listed" in unit.details["reason"]
    assert stored(pd, unit) == []


def test_a_file_that_vanished_since_it_was_submitted(pd: PilotData, here: str, hinder: Hinder) -> None:
    write_all(here, ["a", "b"])
    held = hinder("/store/")
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert held.reached.wait(30)
    Path(here, "b").unlink()
    held.go.set()
    assert unit.wait(30)
    assert unit.state is State.Failed
    assert f"cannot read {here}/b: No such file" in unit.details["reason"]
    assert stored(pd, unit) == []


def test_a_defect_of_an_adaptor_is_told(
    pd: PilotData, here: str, hinder: Hinder, caplog: pytest.LogCaptureFixture
) -> None:
    write_all(here, ["a", "b"])
    hinder("/store/", ZeroDivisionError("what a day"), after=1)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert unit.wait(30)
    assert unit.state is State.Failed
    assert unit.details["reason"] == "a defect of an adaptor, ZeroDivisionError: what a day"
    assert stored(pd, unit) == []
    assert "Traceback" in caplog.text


def test_an_adaptor_that_cannot_be_opened_is_told(
    pd: PilotData, make_pd: MakePilotData, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(here, ["a"])
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    other = make_pd("other")

    def refuse(location: object, access: object) -> object:
        raise DescriptionError("no adaptor today")

    with monkeypatch.context() as patch:
        patch.setattr("pilot_data.making.open_replica", refuse)
        unit.add_pilot_data(other)
        assert unit.wait(30)
    assert unit.details["replicas"][other.id]["reason"] == "no adaptor today"
    assert (unit.state, unit.list_pilot_data()) == (State.Running, [pd])


def test_a_defect_of_our_own_is_told(pd: PilotData, here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(here, ["a"])
    monkeypatch.setattr("pilot_data.making.Staging", None)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    assert unit.state is State.Failed
    assert unit.details["reason"].startswith("TypeError: ")


def test_a_connection_that_fails_for_a_moment_is_no_failure(
    pd: PilotData, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(here, ["a", "b"])
    put_many = FileStorage.put_many
    tries: list[int] = []

    def flaky(storage: FileStorage, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        tries.append(len(items))
        yield from put_many(storage, root, items[:1], job)
        if len(tries) == 1:
            raise ConnectionLostError("for a moment")

    monkeypatch.setattr("pilot_data.retry.FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(FileStorage, "put_many", flaky)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert unit.wait(30)
    assert unit.state is State.Running, unit.details["reason"]
    assert (tries, stored(pd, unit)) == ([2, 1], ["a", "b"])


def test_a_full_disk_fails_the_data_unit(service: PilotDataService, tmp_path: Path, here: str) -> None:
    write_all(here, ["a", "b"], size=100_000)
    with small_disk(tmp_path / "disk", "size=128k,mode=0777") as disk:
        pd = service.create_pilot({"service_url": f"file://{disk}"})
        unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
        assert unit.wait(30)
        assert unit.state is State.Failed
        assert os.strerror(errno.ENOSPC) in unit.details["reason"]
        assert os.listdir(disk) == [markers.name_of(pd.id)]
        assert pd.submit_data_unit({"file_urls": [f"{here}/a"]}).wait(30)
        assert pd.wait(30)
        pd.cancel()


def test_contents_are_verified_when_they_have_landed(
    pd: PilotData, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(here, ["a"])
    write_bytes = landing.Landing.write

    def spoil(self: landing.Landing, data: bytes, offset: int) -> None:
        write_bytes(self, bytes(len(data)), offset)

    monkeypatch.setattr("pilot_data.retry.FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(landing.Landing, "write", spoil)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    assert unit.state is State.Failed
    assert "it was not kept" in unit.details["reason"]
    assert stored(pd, unit) == []


def test_no_secret_is_logged(
    pd: PilotData, here: str, hinder: Hinder, caplog: pytest.LogCaptureFixture
) -> None:
    write(here, "key", b"s3cret content")
    hinder("/store/", TransferError("no"))
    with caplog.at_level(logging.DEBUG):
        assert pd.submit_data_unit({"file_urls": [f"{here}/key"]}).wait(30)
    assert "s3cret" not in caplog.text


# --- a program that ends early ----------------------------------------------------------------------------------------

PROGRAM = """
import os, sys
from pilot_data import PilotDataService
from pilot_data.job import Job
import time

def wait(job, count):
    os.write(1, b"moving\\n")
    job._canceled.wait(50)
    job.check()

Job.moved = wait
store, source = sys.argv[1:]
with PilotDataService() as service:
    unit = service.create_pilot({"service_url": f"file://{store}"}).submit_data_unit({"file_urls": [source]})
    os.write(1, f"{unit.id}\\n".encode())
    unit.wait()
"""


@pytest.fixture
def started(tmp_path: Path, here: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A program in the midst of moving a file, and the folder of its data unit."""
    write_all(here, ["a"], size=100_000)
    environment = {key: value for key, value in os.environ.items() if key != "PILOT_COORDINATION_URL"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, f"{tmp_path}/store", f"{here}/a"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as program:
        try:
            assert program.stdout is not None
            lines = {program.stdout.readline().strip() for _ in range(2)}
            (name,) = lines - {"moving"}
            yield program, tmp_path / "store" / name
        finally:
            program.kill()


def test_ctrl_c_in_wait_ends_at_once_and_leaves_nothing(started: tuple[subprocess.Popen[str], Path]) -> None:
    program, folder = started
    assert [name[:12] for name in os.listdir(folder)] == [".pilot-part-"]
    program.send_signal(signal.SIGINT)
    _out, errors = program.communicate(timeout=30)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not folder.exists()


def test_what_a_killed_program_leaves_is_nobody_elses(
    started: tuple[subprocess.Popen[str], Path], service: PilotDataService, here: str
) -> None:
    """Its catalogue has died with it: the folder stays for its user, and another data unit has a folder of its own."""
    program, folder = started
    program.kill()
    program.communicate(timeout=30)
    left = os.listdir(folder)
    assert [name[:12] for name in left] == [".pilot-part-"]
    pd = service.create_pilot({"service_url": f"file://{folder.parent}"})
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    assert read_all(f"{folder.parent}/{unit.id}") == read_all(here)
    pd.cancel()
    assert os.listdir(folder) == left


ENDS_AT_ONCE = """
import sys
from pilot_data import PilotDataService

url, store, source = sys.argv[1:]
service = PilotDataService(url or None)
unit = service.create_pilot({"service_url": f"file://{store}"}).submit_data_unit({"file_urls": [source]})
print(unit.id)
"""


def test_a_program_that_ends_has_moved_what_it_has_submitted(
    catalogue_kind: str,
    tmp_path: Path,
    here: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_all(str(here), [f"run/{number}" for number in range(500)])
    url = request.getfixturevalue("redis_server").url if catalogue_kind == "redis" else ""
    environment = {key: value for key, value in os.environ.items() if key != "PILOT_COORDINATION_URL"}
    ended = subprocess.run(
        [sys.executable, "-c", ENDS_AT_ONCE, url, f"{tmp_path}/store", f"{here}/run/"],
        capture_output=True, text=True, env=environment, check=True, timeout=50,
    )  # fmt: skip
    assert ended.stderr == ""
    assert read_all(f"{tmp_path}/store/{ended.stdout.strip()}") == read_all(f"{here}/run")
