"""Inputs of compute units: linked where the machine sees them, fetched once to the cache where it does not."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from logging.handlers import QueueHandler
from pathlib import Path
from queue import Queue

import pytest

import fake_storage
from local_redis import LocalRedis
from mover_bench import Bench, request, running, settings_of
from pilot_data import DataUnit, PilotData, markers
from pilot_data.data_session import DataSession
from pilot_data.node.cache import Cache
from pilot_data.node.messages import Request, read_settings
from pilot_data.node.node import CACHE
from pilot_session.coordination_url import object_url, parse

HARD_NAMES = ["a b.txt", "line\nbreak", "ümläut", "\udcff\udcfe", "sub/deep er/x", ".hidden", "[1].txt"]


@pytest.fixture
def catalogue_kind() -> str:
    return "redis"


@pytest.fixture
def here(here: str) -> Path:
    """See the general one."""
    return Path(here)


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    return folder


@pytest.fixture
def make_bench(
    session: DataSession, redis_server: LocalRedis, sandbox: Path
) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**settings: object) -> Bench:
        line = json.dumps(settings_of(session, redis_server, sandbox, **settings))
        made.append(Bench(read_settings(line)))
        return made[-1]

    yield make
    for bench in made:
        assert bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


@pytest.fixture
def far(tmp_path: Path, make_pd: Callable[..., PilotData], monkeypatch: pytest.MonkeyPatch) -> PilotData:
    """A Pilot-Data that is not seen as a folder."""
    fake_storage.install(tmp_path / "entry-points", monkeypatch)
    fake_storage.FETCHED.clear()
    return make_pd(service_url=f"fake://any{tmp_path}/far")


def submitted(pilot: PilotData, *urls: str, **keys: object) -> DataUnit:
    unit = pilot.submit_data_unit({"file_urls": list(urls), **keys})
    assert unit.wait(30)
    assert unit.state == "Running", unit.details
    return unit


def write(folder: Path, *names: str) -> str:
    """Write files that hold their names; return what means all of them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))
    return f"{folder}/"


def read(folder: Path) -> dict[str, bytes]:
    """Return the content of what a unit sees, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_the_machine_sees_is_linked_and_nothing_is_copied(
    bench: Bench, pd: PilotData, here: Path, sandbox: Path, tmp_path: Path
) -> None:
    unit = submitted(pd, write(here, *HARD_NAMES))
    settings = bench.node.settings
    url = object_url(parse(settings.coordination_url), settings.session, "du", unit.id)
    answer = bench.ask(request("in", sandbox / "u", {url: ["*"]}))
    assert (answer.error, answer.bytes, answer.linked) == ("", 0, len(HARD_NAMES))
    assert read(sandbox / "u") == {name: os.fsencode(name) for name in HARD_NAMES}
    for name in HARD_NAMES:
        assert os.readlink(sandbox / "u" / name) == f"{tmp_path}/store/{unit.id}/{name}"
    assert not (sandbox / CACHE).exists()


def test_a_folder_that_is_entered_by_ssh_and_seen_here_is_linked_too(
    bench: Bench, pd: PilotData, here: Path, sandbox: Path, session: DataSession
) -> None:
    unit = submitted(pd, write(here, "x"))
    record = session.catalogue.pilot_data(pd.id)
    assert record is not None
    record.description["service_url"] = record.description["service_url"].replace("file://", "ssh://nowhere")
    bench.node._stores[pd.id] = record
    assert bench.ask(request("in", sandbox / "u", {unit.id: ["*"]})).error == ""
    assert read(sandbox / "u") == {"x": b"x"}


def test_a_folder_of_another_machine_is_not_taken_for_one_that_is_seen(
    bench: Bench, pd: PilotData, here: Path, sandbox: Path, tmp_path: Path
) -> None:
    unit = submitted(pd, write(here, "x"))
    (tmp_path / "store" / markers.name_of(pd.id)).unlink()
    answer = bench.ask(request("in", sandbox / "u", {unit.id: ["*"]}))
    assert "only in folders of other machines" in answer.error
    assert pd.id in answer.error


def test_what_is_far_is_fetched_once_and_linked_read_only(
    bench: Bench, far: PilotData, here: Path, sandbox: Path
) -> None:
    unit = submitted(far, write(here, *HARD_NAMES))
    first = bench.ask(request("in", sandbox / "u", {unit.id: ["*"]}))
    size = sum(len(os.fsencode(name)) for name in HARD_NAMES)
    assert (first.error, first.bytes, first.linked) == ("", size, len(HARD_NAMES))
    second = bench.ask(request("in", sandbox / "v", {unit.id: ["*"]}, unit="cu-aaaaaa-2"))
    assert (second.error, second.bytes) == ("", 0)
    assert read(sandbox / "v") == {name: os.fsencode(name) for name in HARD_NAMES}
    assert len(fake_storage.FETCHED) == len(HARD_NAMES)
    assert not (sandbox / "v" / "a b.txt").stat().st_mode & 0o222


def test_only_what_patterns_mean_is_fetched(bench: Bench, far: PilotData, here: Path, sandbox: Path) -> None:
    unit = submitted(far, write(here, "a.txt", "b.txt", "c.dat", "sub/d.txt", "sub/e.dat"))
    answer = bench.ask(request("in", sandbox / "u", {unit.id: ["a.txt", "**/d.*"]}))
    assert answer.error == ""
    assert read(sandbox / "u") == {"a.txt": b"a.txt", "sub/d.txt": b"sub/d.txt"}
    answer = bench.ask(request("in", sandbox / "v", {unit.id: ["?.txt"]}, unit="cu-aaaaaa-2"))
    assert read(sandbox / "v") == {"a.txt": b"a.txt", "b.txt": b"b.txt"}
    assert sorted(path.rpartition(f"{unit.id}/")[2] for path in fake_storage.FETCHED) == [
        "a.txt", "b.txt", "sub/d.txt",
    ]  # fmt: skip


def test_a_pattern_that_means_nothing_is_named_with_what_there_is(
    bench: Bench, pd: PilotData, here: Path, sandbox: Path
) -> None:
    unit = submitted(pd, write(here, "a.txt", "b.txt"))
    answer = bench.ask(request("in", sandbox / "u", {unit.id: ["*.dat"]}))
    assert answer.error == f"no file of data unit {unit.id} matches '*.dat'; it has 'a.txt', 'b.txt'"
    assert read(sandbox / "u") == {}


def test_two_inputs_of_one_name_are_refused(bench: Bench, pd: PilotData, here: Path, sandbox: Path) -> None:
    one = submitted(pd, write(here / "1", "x", "y"))
    other = submitted(pd, write(here / "2", "y/z"))
    answer = bench.ask(request("in", sandbox / "u", {one.id: ["*"], other.id: ["*"]}))
    assert "two inputs cannot be in one folder: 'y'" in answer.error
    assert one.id in answer.error
    assert other.id in answer.error
    answer = bench.ask(request("in", sandbox / "u", {one.id: ["x"], other.id: ["*"]}))
    assert read(sandbox / "u") == {"x": b"x", "y/z": b"y/z"}


def test_a_file_of_the_user_is_not_replaced_by_an_input(
    bench: Bench, pd: PilotData, here: Path, sandbox: Path
) -> None:
    unit = submitted(pd, write(here, "x"))
    write(sandbox / "u", "x")
    assert (
        "something of that name is there" in bench.ask(request("in", sandbox / "u", {unit.id: ["*"]})).error
    )


def test_a_link_in_the_folder_that_leads_out_of_it_is_not_followed(
    bench: Bench, pd: PilotData, here: Path, sandbox: Path, tmp_path: Path
) -> None:
    unit = submitted(pd, write(here, "sub/x"))
    (tmp_path / "elsewhere").mkdir()
    (sandbox / "u").mkdir()
    (sandbox / "u" / "sub").symlink_to(tmp_path / "elsewhere")
    assert "leads out of" in bench.ask(request("in", sandbox / "u", {unit.id: ["*"]})).error
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_a_link_leads_to_comes_along(bench: Bench, pd: PilotData, here: Path, sandbox: Path) -> None:
    write(here, "run/3/x", "y")
    (here / "latest").symlink_to("run/3")
    (here / "z").symlink_to("y")
    unit = submitted(pd, f"{here}/")
    (sandbox / "no").mkdir()
    assert bench.ask(request("in", sandbox / "u", {unit.id: ["latest", "z"]})).error == ""
    assert (sandbox / "u" / "latest" / "x").read_bytes() == b"run/3/x"
    assert (sandbox / "u" / "z").read_bytes() == b"y"
    assert not (sandbox / "u" / "run").exists()


def test_a_data_unit_without_a_whole_replica_or_of_another_session_is_refused(
    bench: Bench, pd: PilotData, here: Path, sandbox: Path
) -> None:
    unit = submitted(pd, write(here, "x"))
    unit.cancel()
    assert (
        f"data unit {unit.id} is Canceled" in bench.ask(request("in", sandbox / "u", {unit.id: ["*"]})).error
    )
    other = "redis://host/0?session=s-aaaaaaaaaaaaaaaa&du=du-aaaaaaaaaaaa"
    assert "no data unit of the session" in bench.ask(request("in", sandbox / "u", {other: ["*"]})).error
    assert "has no data unit" in bench.ask(request("in", sandbox / "u", {"du-aaaaaaaaaaaa": ["*"]})).error


def test_a_request_that_is_said_again_does_no_harm(
    bench: Bench, pd: PilotData, here: Path, sandbox: Path
) -> None:
    unit = submitted(pd, write(here, "x"))
    for _ in range(2):
        assert bench.ask(request("in", sandbox / "u", {unit.id: ["*"]})).error == ""
    assert read(sandbox / "u") == {"x": b"x"}


@pytest.mark.timeout(120)
def test_a_common_input_of_a_thousand_units_is_fetched_once(
    make_bench: Callable[..., Bench], far: PilotData, here: Path, sandbox: Path
) -> None:
    bench = make_bench(transfers=16)
    unit = submitted(far, write(here, "common"))
    names = [f"cu-aaaaaa-{number}" for number in range(1000)]
    requests = [request("in", sandbox / name, {unit.id: ["*"]}, unit=name) for name in names]
    answers = bench.ask_all(requests)
    assert not [answer.error for answer in answers if answer.error]
    assert sum(answer.bytes for answer in answers) == len("common")
    assert len(fake_storage.FETCHED) == 1
    assert all((sandbox / name / "common").read_bytes() == b"common" for name in names)


def test_what_was_used_longest_ago_goes_first_and_what_is_in_use_stays(
    make_bench: Callable[..., Bench], far: PilotData, here: Path, sandbox: Path
) -> None:
    bench = make_bench(cache_mb=1)
    units = []
    for number in range(4):
        (here / f"{number}").write_bytes(bytes(400_000))
        units.append(submitted(far, f"{here}/{number}"))
    asked = [
        request("in", sandbox / f"{number}", {unit.id: ["*"]}, unit=f"cu-aaaaaa-{number}")
        for number, unit in enumerate(units)
    ]
    assert bench.ask(asked[0]).error == ""
    assert bench.ask(asked[1]).error == ""
    full = bench.ask(asked[2]).error
    assert f"data unit {units[2].id} needs 400000 bytes in the cache of 1000000 bytes (cache_mb)" in full
    assert "use 800000" in full
    bench.release(asked[0])
    bench.release(asked[1])
    assert bench.ask(asked[0]).bytes == 0  # is there, and was used last, now
    assert bench.ask(asked[2]).error == ""
    assert not (sandbox / CACHE / units[1].id).exists()
    assert (sandbox / "0" / "0").read_bytes() == bytes(400_000)
    bench.release(asked[2])
    assert (
        make_bench(cache_mb=1).ask(asked[3]).error == ""
    )  # another mover knows what is pinned, and what is old
    assert not (sandbox / CACHE / units[2].id).exists()
    assert (sandbox / "0" / "0").read_bytes() == bytes(400_000)


def test_the_first_mover_of_an_agent_lets_go_of_what_units_of_an_agent_before_used(
    make_bench: Callable[..., Bench], far: PilotData, here: Path, sandbox: Path
) -> None:
    asked: list[Request] = []
    for number in range(2):
        (here / f"{number}").write_bytes(bytes(600_000))
        unit = submitted(far, f"{here}/{number}")
        asked.append(request("in", sandbox / f"{number}", {unit.id: ["*"]}, unit=f"cu-aaaaaa-{number}"))
    assert make_bench(cache_mb=1).ask(asked[0]).error == ""
    assert "compute units that have not ended use" in make_bench(cache_mb=1).ask(asked[1]).error
    assert make_bench(cache_mb=1, fresh=True).ask(asked[1]).error == ""
    assert "compute units that have not ended use" in make_bench(cache_mb=1).ask(asked[0]).error


def test_a_mover_whose_cache_is_damaged_answers_on(
    bench: Bench, pd: PilotData, far: PilotData, here: Path, sandbox: Path
) -> None:
    (sandbox / CACHE).write_text("no folder")
    one, other = submitted(far, write(here, "x")), submitted(pd, write(here / "2", "y"))
    asked = request("in", sandbox / "u", {one.id: ["*"]})
    assert "this machine refuses" in bench.ask(asked).error
    bench.release(asked)
    assert bench.ask(request("in", sandbox / "v", {other.id: ["*"]})).error == ""


def test_more_than_the_cache_holds_is_refused(
    make_bench: Callable[..., Bench], far: PilotData, here: Path, sandbox: Path
) -> None:
    (here / "large").write_bytes(bytes(2_000_000))
    unit = submitted(far, f"{here}/large")
    bench = make_bench(cache_mb=1)
    assert "needs 2000000 bytes" in bench.ask(request("in", sandbox / "u", {unit.id: ["*"]})).error
    assert not fake_storage.FETCHED
    assert not list((sandbox / CACHE / ".pins").iterdir())


def test_without_a_limit_the_cache_makes_room_on_a_disk_that_is_full(
    bench: Bench, far: PilotData, here: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = []
    for number in range(2):
        (here / f"{number}").write_bytes(bytes(400_000))
        units.append(submitted(far, f"{here}/{number}"))
    usage = shutil.disk_usage(sandbox)

    def small(folder: str) -> object:
        used = sum(path.stat().st_size for path in (sandbox / CACHE).glob("du-*/*"))
        return usage._replace(free=500_000 - used)

    monkeypatch.setattr("pilot_data.node.cache.shutil.disk_usage", small)
    first = request("in", sandbox / "0", {units[0].id: ["*"]})
    second = request("in", sandbox / "1", {units[1].id: ["*"]}, unit="cu-aaaaaa-2")
    assert bench.ask(first).error == ""
    assert "a disk with 100000 bytes free" in bench.ask(second).error
    bench.release(first)
    assert bench.ask(second).error == ""
    assert not (sandbox / CACHE / units[0].id).exists()


def test_two_movers_on_one_cache_fetch_a_file_once(
    make_bench: Callable[..., Bench], far: PilotData, here: Path, sandbox: Path
) -> None:
    unit = submitted(far, write(here, *map(str, range(50))))
    benches = [make_bench(), make_bench()]
    for number in range(20):
        one = request("in", sandbox / f"{number}", {unit.id: ["*"]}, unit=f"cu-aaaaaa-{number}")
        benches[number % 2].say(one)
    answers = [benches[number % 2].next() for number in range(20)]
    assert not [answer.error for answer in answers if answer.error]
    assert len(fake_storage.FETCHED) == 50


@pytest.fixture
def stalling(
    tmp_path: Path, make_pd: Callable[..., PilotData], monkeypatch: pytest.MonkeyPatch, here: Path
) -> DataUnit:
    """A data unit whose file stops in the middle when it is fetched, in processes that are started from now on."""
    fake_storage.install(tmp_path / "entry-points", monkeypatch)
    (here / "large").write_bytes(os.urandom(3 * fake_storage.MIDDLE))
    unit = submitted(make_pd(service_url=f"fake://stalling{tmp_path}/far"), f"{here}/large")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv(fake_storage.PIPE, str(tmp_path / "pipe"))
    return unit


def test_another_mover_goes_on_where_one_was_killed(
    session: DataSession, redis_server: LocalRedis, stalling: DataUnit, sandbox: Path, tmp_path: Path,
    here: Path, monkeypatch: pytest.MonkeyPatch, make_bench: Callable[..., Bench],
) -> None:  # fmt: skip
    one = request("in", sandbox / "u", {stalling.id: ["*"]})
    with running(settings_of(session, redis_server, sandbox), tmp_path / "log") as mover:
        mover.ask(one)
        assert (tmp_path / "pipe").read_bytes() == b"."
        mover.process.send_signal(signal.SIGKILL)
        mover.process.wait()
    (arrived,) = (path.stat().st_size for path in (sandbox / CACHE / stalling.id).iterdir())
    assert arrived >= fake_storage.MIDDLE
    monkeypatch.delenv(fake_storage.PIPE)
    answer = make_bench().ask(one)
    assert answer.error == ""
    assert answer.bytes == 3 * fake_storage.MIDDLE - arrived
    assert (sandbox / "u" / "large").read_bytes() == (here / "large").read_bytes()


def test_a_fetch_is_canceled_and_so_is_one_that_waits_for_it(
    session: DataSession, redis_server: LocalRedis, stalling: DataUnit, sandbox: Path, tmp_path: Path,
    make_bench: Callable[..., Bench],
) -> None:  # fmt: skip
    one = request("in", sandbox / "u", {stalling.id: ["*"]})
    other = request("in", sandbox / "v", {stalling.id: ["*"]}, unit="cu-aaaaaa-2")
    bench = make_bench()
    with running(settings_of(session, redis_server, sandbox), tmp_path / "log") as mover:
        mover.ask(one)
        assert (tmp_path / "pipe").read_bytes() == b"."
        mover.ask(other)
        mover.say({"do": "cancel", "unit": other.unit, "attempt": 1})
        assert mover.next() == {
            "unit": other.unit, "attempt": 1, "did": "in", "error": "canceled", "bytes": 0, "linked": 0,
            "stale": False,
        }  # fmt: skip
        bench.say(other)  # waits for another process
        bench.cancel(other)
        assert bench.next().error == "canceled"
    assert (sandbox / CACHE / ".pins" / one.unit).exists()
    assert not (sandbox / CACHE / ".pins" / other.unit).exists()


def test_who_was_let_go_of_before_it_was_pinned_is_not_pinned(
    bench: Bench, far: PilotData, here: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent waits only so long for the answer to a cancel."""
    unit = submitted(far, write(here, "x"))
    first, late = (request("in", sandbox / f"cu-aaaaaa-{number}", {unit.id: ["*"]}, unit=f"cu-aaaaaa-{number}")
                   for number in (1, 2))  # fmt: skip
    assert bench.ask(first).error == ""
    real, begun, go_on = Cache.pin, threading.Event(), threading.Event()

    def pin(*what: object) -> None:
        begun.set()
        assert go_on.wait(30)
        real(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(Cache, "pin", pin)
    bench.say(late)
    assert begun.wait(30)
    bench.cancel(late)
    bench.release(late)
    go_on.set()
    assert bench.next().error == "canceled"
    assert [path.name for path in (sandbox / CACHE / ".pins").iterdir()] == [first.unit]


def test_the_end_of_input_ends_a_mover_and_it_has_told_no_secret(
    session: DataSession, redis_server: LocalRedis, pd: PilotData, here: Path, sandbox: Path, tmp_path: Path
) -> None:
    unit = submitted(pd, write(here, "x"))
    settings = settings_of(session, redis_server, sandbox)
    with running(settings, tmp_path / "log") as mover:
        mover.ask(request("in", sandbox / "u", {unit.id: ["*"]}))
        assert mover.next()["error"] == ""
        mover.ask(request("in", sandbox / "u", {"du-aaaaaaaaaaaa": ["*"]}))
        assert mover.next()["error"]
        command = Path(f"/proc/{mover.process.pid}/cmdline").read_text()
        assert mover.end() == 0
    assert settings["key_hex"] not in command + (tmp_path / "log").read_text()


def test_a_request_waits_for_a_server_that_is_away(
    session: DataSession, redis_server: LocalRedis, sandbox: Path
) -> None:
    said: Queue[logging.LogRecord] = Queue()
    logging.getLogger("pilot_data.node").addHandler(hearing := QueueHandler(said))
    one = request("in", sandbox / "u", {"du-aaaaaaaaaaaa": ["*"]})
    with tempfile.TemporaryDirectory() as folder:
        server = LocalRedis(Path(folder))
        server.stop()
        settings = settings_of(session, redis_server, sandbox, coordination_url=server.url)
        bench = Bench(read_settings(json.dumps(settings)))
        bench.say(one)
        while "request.waits" not in said.get(timeout=30).getMessage():
            pass
        server.start()
        assert "NOSESSION" in bench.next().error, "the new server knows nothing, and says so"
        assert bench.close()
        server.stop()
    logging.getLogger("pilot_data.node").removeHandler(hearing)


def test_a_request_that_waits_for_a_server_is_canceled_and_shows_no_password(
    session: DataSession, redis_server: LocalRedis, sandbox: Path, tmp_path: Path
) -> None:
    settings = settings_of(session, redis_server, sandbox)
    settings["coordination_url"] = "redis://user:pass-word@127.0.0.1:1/0"
    os.mkfifo(tmp_path / "log")
    said = ""
    with (
        os.fdopen(os.open(tmp_path / "log", os.O_RDWR), encoding="utf-8") as log,
        running(settings, tmp_path / "log") as mover,
    ):
        mover.ask(request("in", sandbox / "u", {"du-aaaaaaaaaaaa": ["*"]}))
        while "request.waits" not in said:
            said += log.readline()
        mover.say({"do": "cancel", "unit": "cu-aaaaaa-1", "attempt": 1})
        assert mover.next()["error"] == "canceled"
        assert mover.end() == 0
    assert "cannot be reached" in said
    assert "pass-word" not in said


def test_what_is_no_settings_ends_a_mover_without_showing_it(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "pilot_data.node"],
        check=False,
        input='{"key_hex": "5ec2e7"}\n',
        capture_output=True,
        text=True,
    )
    assert said.returncode == 2
    assert "no settings of a mover" in said.stderr
    assert "5ec2e7" not in said.stderr


def test_a_mover_starts_without_the_libraries_of_storages() -> None:
    code = (
        "import sys, pilot_data.node.__main__; "
        "print(sorted({'redis', 'paramiko', 'boto3', 'globus_sdk', 'click', 'tqdm', 'asyncio'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
