"""Outputs of compute units: which files, where they go, what the catalogue knows of them, and what is left of failures."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

import fake_storage
from local_redis import LocalRedis
from mover_bench import PILOT, Bench, holding, request, running, settings_of
from pilot_data import DataUnit, PilotData, markers
from pilot_data.catalogue import DataUnitRecord, unit_in
from pilot_data.data_session import DataSession
from pilot_data.job import Job
from pilot_data.node.deliveries import NodeCatalogue
from pilot_data.node.messages import Epoch, read_settings
from pilot_data.node.node import CACHE
from pilot_data.testing.sample_files import read_all
from pilot_protocol import unit_ops
from pilot_protocol.data_ops import DeliveryAnswer
from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord
from pilot_session import coordination_url
from pilot_session.identifiers import new_id
from pilot_session.redis_link import RedisLink

UNIT = "cu-aaaaaa-1"


@pytest.fixture
def catalogue_kind() -> str:
    return "redis"


@pytest.fixture
def here(here: str) -> Path:
    """See the general one."""
    return Path(here)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a compute unit."""
    made = tmp_path / "sandbox" / "cu-aaaaaa-1"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def make_bench(
    session: DataSession, redis_server: LocalRedis, tmp_path: Path
) -> Iterator[Callable[[], Bench]]:
    """Return a maker of movers, whose pilot holds the first attempts of some compute units."""
    epoch = holding(session, redis_server, [f"cu-aaaaaa-{number}" for number in range(1, 51)])
    made: list[Bench] = []

    def make() -> Bench:
        settings = settings_of(session, redis_server, tmp_path / "sandbox", transfers=8)
        made.append(Bench(read_settings(json.dumps(settings)), epoch))
        return made[-1]

    yield make
    for bench in made:
        assert bench.close()


@pytest.fixture
def bench(make_bench: Callable[[], Bench]) -> Bench:
    return make_bench()


@pytest.fixture
def empty(session: DataSession) -> DataUnit:
    """A data unit without files and replicas."""
    return made(session)


def made(session: DataSession, **description: object) -> DataUnit:
    name = new_id("du")
    session.catalogue.add_data_unit(DataUnitRecord(name, dict(description)))
    return DataUnit.of(session, name)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))


def known(session: DataSession, unit: DataUnit) -> dict[str, str]:
    """Return the checksums of a data unit's files."""
    return {file.path: file.checksum for file in session.catalogue.files(unit.id)}


def sums(*names: str) -> dict[str, str]:
    return {name: hashlib.sha256(os.fsencode(name)).hexdigest() for name in names}


def test_outputs_are_at_the_home_and_in_the_catalogue(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, session: DataSession, tmp_path: Path
) -> None:
    names = ["out.txt", "a b", "line\nbreak", "\udcff", "run/1/x", "run/2/x"]
    write(folder, *names, "other.dat")
    patterns = ["*.txt", "a b", "line*", "\udcff", "run/**/x"]
    answer = bench.ask(request("out", folder, {empty.id: patterns}))
    assert (answer.error, answer.bytes) == ("", 0)
    assert known(session, empty) == sums(*names)
    assert read_all(f"{tmp_path}/store/{empty.id}") == {name: os.fsencode(name) for name in names}
    unit = unit_in(session.catalogue, empty.id)
    size = sum(len(os.fsencode(name)) for name in names)
    assert (unit.bytes, unit.files) == (size, len(names))
    assert unit.replicas[pd.id].letter == ReplicaLetter.DONE
    assert unit.replicas[pd.id].bytes == size
    assert pd.details["used"] == size


def test_what_one_unit_delivered_is_not_written_to_by_another_one_in_the_same_folder(
    bench: Bench, pd: PilotData, session: DataSession, tmp_path: Path
) -> None:
    shared = tmp_path / "sandbox" / "shared"
    units = []
    for number in (1, 2):
        shared.mkdir(parents=True, exist_ok=True)
        (shared / "x").write_text(f"of {number}")
        units.append(made(session))
        asked = request("out", shared, {units[-1].id: ["x"]}, unit=f"cu-aaaaaa-{number}")
        assert bench.ask(asked).error == ""
    contents = [(tmp_path / "store" / unit.id / "x").read_text() for unit in units]
    assert contents == ["of 1", "of 2"]


def test_what_was_delivered_can_be_an_input(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, tmp_path: Path
) -> None:
    write(folder, "x")
    assert bench.ask(request("out", folder, {empty.id: ["x"]})).error == ""
    assert (
        bench.ask(request("in", tmp_path / "sandbox" / "v", {empty.id: ["*"]}, unit="cu-aaaaaa-2")).error
        == ""
    )
    assert read_all(str(tmp_path / "sandbox" / "v")) == {"x": b"x"}


def test_a_pattern_that_means_no_output_is_named_and_nothing_is_delivered(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, session: DataSession, tmp_path: Path
) -> None:
    write(folder, "out.txt")
    answer = bench.ask(request("out", folder, {empty.id: ["*.txt", "*.dat"]}))
    assert "no output matches '*.dat'" in answer.error
    assert "there is 'out.txt'" in answer.error
    assert not known(session, empty)
    assert not read_all(f"{tmp_path}/store")


def test_without_checksums_none_is_made(
    bench: Bench, pd: PilotData, folder: Path, session: DataSession
) -> None:
    unit = made(session, checksum="none")
    write(folder, "x")
    assert bench.ask(request("out", folder, {unit.id: ["x"]})).error == ""
    assert known(session, unit) == {"x": ""}


def test_a_far_home_gets_a_verified_copy(
    bench: Bench, make_pd: Callable[..., PilotData], empty: DataUnit, folder: Path, session: DataSession,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fake_storage.install(tmp_path / "entry-points", monkeypatch)
    make_pd(service_url=f"fake://any{tmp_path}/far")
    write(folder, "x", "run/y")
    answer = bench.ask(request("out", folder, {empty.id: ["*"]}))
    assert (answer.error, answer.bytes) == ("", len("xrun/y"))
    assert known(session, empty) == sums("x", "run/y")
    assert read_all(f"{tmp_path}/far/{empty.id}") == {"x": b"x", "run/y": b"run/y"}


def test_a_data_unit_stays_where_it_is_at_home(
    bench: Bench, make_pd: Callable[..., PilotData], folder: Path, here: Path, tmp_path: Path
) -> None:
    make_pd("seen")
    home = make_pd("home", affinity_datacenter_label="far")
    write(here, "before")
    unit = home.submit_data_unit({"file_urls": [f"{here}/before"]})
    assert unit.wait(30)
    write(folder, "x")
    assert bench.ask(request("out", folder, {unit.id: ["x"]})).error == ""
    assert read_all(f"{tmp_path}/home/{unit.id}") == {"before": b"before", "x": b"x"}
    assert not read_all(f"{tmp_path}/seen")


def test_a_home_on_another_machine_is_not_taken_for_a_folder_of_this_one(
    bench: Bench, pd: PilotData, folder: Path, here: Path, tmp_path: Path
) -> None:
    write(here, "before")
    unit = pd.submit_data_unit({"file_urls": [f"{here}/before"]})
    assert unit.wait(30)
    (tmp_path / "store" / markers.name_of(pd.id)).unlink()
    write(folder, "x")
    answer = bench.ask(request("out", folder, {unit.id: ["x"]}))
    assert f"is at home at {pd.id}, a folder of another machine" in answer.error
    assert read_all(f"{tmp_path}/store/{unit.id}") == {"before": b"before"}


def test_without_a_place_there_is_a_clear_error(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, tmp_path: Path
) -> None:
    write(folder, "x")
    (tmp_path / "store" / markers.name_of(pd.id)).unlink()
    assert (
        "no Pilot-Data of the session is Running"
        in bench.ask(request("out", folder, {empty.id: ["x"]})).error
    )
    pd.cancel()
    assert (
        "no Pilot-Data of the session is Running"
        in bench.ask(request("out", folder, {empty.id: ["x"]})).error
    )


def test_said_twice_changes_nothing_and_another_attempt_replaces(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, session: DataSession, tmp_path: Path
) -> None:
    write(folder, "x")
    for _ in range(2):
        assert bench.ask(request("out", folder, {empty.id: ["x"]})).error == ""
        assert (known(session, empty), pd.details["used"]) == (sums("x"), 1)
    (folder / "x").unlink()
    (folder / "x").write_bytes(b"longer")
    assert bench.ask(request("out", folder, {empty.id: ["x"]})).error == ""
    assert pd.details["used"] == len("longer")
    assert read_all(f"{tmp_path}/store/{empty.id}") == {"x": b"longer"}


def test_a_full_home_is_told_and_nothing_is_left(
    bench: Bench, make_pd: Callable[..., PilotData], empty: DataUnit, folder: Path, session: DataSession,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pd = make_pd(size=0.001)
    (folder / "x").write_bytes(bytes(1001))
    answer = bench.ask(request("out", folder, {empty.id: ["x"]}))
    assert (
        f"data unit {empty.id} has 1001 bytes; of the 1000 bytes of Pilot-Data {pd.id} 0 are used"
        in answer.error
    )
    monkeypatch.setattr("pilot_data.node.stage_out._Delivering._check_room", lambda *_: None)
    answer = bench.ask(request("out", folder, {empty.id: ["x"]}))
    assert "of the 1000 bytes" in answer.error
    assert not known(session, empty)
    assert not read_all(f"{tmp_path}/store")
    assert pd.details["used"] == 0


def test_an_attempt_that_is_not_the_pilots_any_more_delivers_nothing(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, session: DataSession, tmp_path: Path
) -> None:
    write(folder, "x")
    for one in (
        request("out", folder, {empty.id: ["x"]}, attempt=0),
        request("out", folder, {empty.id: ["x"]}, unit="cu-aaaaaa-99"),
    ):
        answer = bench.ask(one)
        assert "is not this pilot's any more" in answer.error
        assert answer.is_stale
    assert not known(session, empty)
    assert not read_all(f"{tmp_path}/store")


def test_who_delivers_under_an_older_epoch_is_stale_and_may_ask_again(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, session: DataSession
) -> None:
    write(folder, "x")
    epoch = bench.node.epoch
    bench.say(Epoch("1"))
    assert bench.ask(request("out", folder, {empty.id: ["x"]})).is_stale
    bench.say(Epoch(epoch))
    assert bench.ask(request("out", folder, {empty.id: ["x"]})).error == ""
    assert known(session, empty) == sums("x")


def test_what_has_ended_has_been_delivered(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, session: DataSession, redis_server: LocalRedis
) -> None:
    write(folder, "x")
    one = request("out", folder, {empty.id: ["x"]})
    assert bench.ask(one).error == ""
    keys = session.catalogue._keys  # type: ignore[attr-defined]
    link = RedisLink(coordination_url.parse(redis_server.url))
    done = unit_ops.UnitReport(one.unit, one.attempt, "D", b"result")
    assert link.run(unit_ops.report(keys, PILOT, bench.node.epoch, [done])).outcomes == "1"
    link.close()
    assert bench.ask(one).error == ""
    assert known(session, empty) == sums("x")


def test_a_data_unit_that_has_ended_gets_nothing(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, tmp_path: Path
) -> None:
    write(folder, "x")
    empty.cancel()
    assert f"data unit {empty.id} has ended" in bench.ask(request("out", folder, {empty.id: ["x"]})).error
    assert not read_all(f"{tmp_path}/store")


def test_many_units_deliver_to_one_data_unit_at_once(
    make_bench: Callable[[], Bench], make_pd: Callable[..., PilotData], empty: DataUnit, folder: Path,
    session: DataSession, tmp_path: Path,
) -> None:  # fmt: skip
    for name in ("one", "two"):
        make_pd(name)
    benches = [make_bench(), make_bench()]
    names = [f"cu-aaaaaa-{number}" for number in range(1, 51)]
    for number, name in enumerate(names):
        write(folder / name, f"{name}.out")
        benches[number % 2].say(request("out", folder / name, {empty.id: ["*.out"]}, unit=name))
    answers = [benches[number % 2].next() for number in range(len(names))]
    assert not [answer.error for answer in answers if answer.error]
    outputs = [f"{name}.out" for name in names]
    assert known(session, empty) == sums(*outputs)
    unit = unit_in(session.catalogue, empty.id)
    (home,) = unit.replicas
    assert unit.replicas[home].bytes == unit.bytes == sum(map(len, outputs))
    found = {**read_all(f"{tmp_path}/one"), **read_all(f"{tmp_path}/two")}
    assert found == {f"{empty.id}/{name}": name.encode() for name in outputs}


def test_units_that_deliver_files_of_one_name_at_once_take_turns(
    bench: Bench, pd: PilotData, session: DataSession, tmp_path: Path
) -> None:
    for _ in range(10):
        unit = made(session)
        requests = []
        for number in range(1, 9):
            folder = tmp_path / "sandbox" / f"cu-aaaaaa-{number}"
            requests.append(request("out", folder, {unit.id: ["x"]}, unit=folder.name))
            (folder / "x").unlink(missing_ok=True)
            (folder / "x").write_bytes(b"%d" % number * 1000 * number)
        assert not [answer.error for answer in bench.ask_all(requests) if answer.error]
        content = (tmp_path / "store" / unit.id / "x").read_bytes()
        assert known(session, unit) == {"x": hashlib.sha256(content).hexdigest()}


def test_who_waits_for_another_delivery_is_canceled(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, tmp_path: Path, session: DataSession
) -> None:
    write(folder, "x")
    other = tmp_path / "sandbox" / "cu-aaaaaa-2"
    write(other, "x")
    one, waiting = (request("out", at, {empty.id: ["x"]}, unit=at.name) for at in (folder, other))
    with bench.node.turns.taken(empty.id, ["x"], Job()):
        bench.say(waiting)
        assert session.catalogue.wait_for(lambda: bool(unit_in(session.catalogue, empty.id).replicas), 30)
        bench.cancel(waiting)
        assert bench.next().error == "canceled"
    assert bench.ask(one).error == ""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[DeliveryAnswer]:
    """What the script says to the next deliveries that have files, before it is asked itself."""
    said: list[DeliveryAnswer] = []
    real = NodeCatalogue._say

    def say(
        self: NodeCatalogue, attempt: object, data_unit: str, pilot_data: str, files: object
    ) -> DeliveryAnswer:
        return said.pop(0) if said and files else real(self, attempt, data_unit, pilot_data, files)  # type: ignore[arg-type]

    monkeypatch.setattr(NodeCatalogue, "_say", say)
    return said


def test_who_is_told_of_another_home_brings_the_files_there(
    bench: Bench, make_pd: Callable[..., PilotData], empty: DataUnit, folder: Path, tmp_path: Path,
    answers: list[DeliveryAnswer], session: DataSession,
) -> None:  # fmt: skip
    make_pd("one", affinity_datacenter_label="here", affinity_machine_label="m,1")
    other = make_pd("two")
    answers.append(DeliveryAnswer("elsewhere", other.id))
    write(folder, "x")
    session.catalogue.ask(empty.id, other.id)
    session.catalogue.claim(empty.id, other.id, "x", 0)
    session.catalogue.settle(ReplicaRecord(empty.id, other.id, ReplicaLetter.DONE, "x"))
    assert bench.ask(request("out", folder, {empty.id: ["x"]})).error == ""
    assert read_all(str(tmp_path / "two")) == {f"{empty.id}/x": b"x"}
    assert not read_all(str(tmp_path / "one"))


@pytest.mark.parametrize("verdict", ["unit", "stale", "store", "full"])
def test_what_is_refused_in_the_end_is_taken_away(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, tmp_path: Path, answers: list[DeliveryAnswer],
    verdict: str,
) -> None:  # fmt: skip
    answers.append(DeliveryAnswer(verdict, "7"))
    write(folder, "x")
    assert bench.ask(request("out", folder, {empty.id: ["x"]})).error
    assert not read_all(str(tmp_path / "store"))


@pytest.mark.parametrize("what", ["data unit", "transfer"])
def test_what_fails_after_something_was_delivered_leaves_nothing(
    bench: Bench,
    pd: PilotData,
    empty: DataUnit,
    folder: Path,
    session: DataSession,
    tmp_path: Path,
    what: str,
) -> None:
    write(folder, "x", "y", "z")
    other = made(session)
    assert bench.ask(request("out", folder, {empty.id: ["z"]}, unit="cu-aaaaaa-2")).error == ""
    if what == "data unit":
        other.cancel()
    data, transfers = {empty.id: ["x", "y"]}, ["/nowhere/else < missing"] if what == "transfer" else []
    if what == "data unit":
        data[other.id] = ["x"]
    assert bench.ask(request("out", folder, data, *transfers)).error
    assert known(session, empty) == sums("z")
    assert read_all(f"{tmp_path}/store") == {f"{empty.id}/z": b"z"}
    assert pd.details["used"] == 1


@pytest.mark.parametrize("scheme", ["file", "fake"])
def test_what_is_refused_takes_nothing_away_that_another_unit_has_put_meanwhile(
    bench: Bench, make_pd: Callable[..., PilotData], empty: DataUnit, folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, scheme: str,
) -> None:  # fmt: skip
    fake_storage.install(tmp_path / "entry-points", monkeypatch)
    make_pd(service_url=f"{scheme}://{'any' if scheme == 'fake' else ''}{tmp_path}/store")
    real = NodeCatalogue._say

    def say(
        self: NodeCatalogue, attempt: object, data_unit: str, pilot_data: str, files: object
    ) -> DeliveryAnswer:
        if not files:
            return real(self, attempt, data_unit, pilot_data, files)  # type: ignore[arg-type]
        path = tmp_path / "store" / empty.id / "x"
        path.unlink()
        path.write_text("of another unit")
        return DeliveryAnswer("full", "7")

    monkeypatch.setattr(NodeCatalogue, "_say", say)
    write(folder, "x", "y")
    assert bench.ask(request("out", folder, {empty.id: ["*"]})).error
    assert read_all(f"{tmp_path}/store/{empty.id}") == {"x": b"of another unit"}


def test_what_was_taken_in_part_is_taken_back(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, tmp_path: Path, session: DataSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("pilot_data.node.deliveries.BATCH", 2)
    real, count = NodeCatalogue._say, iter(range(10))

    def say(self: NodeCatalogue, *said: object) -> DeliveryAnswer:
        return DeliveryAnswer("full", "7") if next(count) == 2 else real(self, *said)  # type: ignore[arg-type]

    monkeypatch.setattr(NodeCatalogue, "_say", say)
    write(folder, "a", "b", "c")
    assert "7 are used" in bench.ask(request("out", folder, {empty.id: ["*"]})).error
    assert not known(session, empty)
    assert not read_all(str(tmp_path / "store"))


def test_a_home_that_somebody_works_on_is_waited_for(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, session: DataSession, tmp_path: Path
) -> None:
    session.catalogue.ask(empty.id, pd.id)
    session.catalogue.claim(empty.id, pd.id, "somebody", 0)
    write(folder, "x")
    one = request("out", folder, {empty.id: ["x"]})
    bench.say(one)
    bench.cancel(one)
    assert bench.next().error == "canceled"
    bench.say(one)
    session.catalogue.settle(ReplicaRecord(empty.id, pd.id, ReplicaLetter.DONE, "somebody"))
    assert bench.next().error == ""
    assert read_all(f"{tmp_path}/store/{empty.id}") == {"x": b"x"}


def test_a_home_whose_owner_is_gone_is_not_waited_for(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, session: DataSession, redis_server: LocalRedis,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("pilot_data.node.stage_out.LEASE_S", 0.1)
    session.catalogue.ask(empty.id, pd.id)
    session.catalogue.claim(empty.id, pd.id, "somebody", 0)
    write(folder, "x")
    one = request("out", folder, {empty.id: ["x"]})
    bench.say(one)
    with redis.Redis.from_url(redis_server.url) as client:
        name = session.catalogue._keys.named("replicas")  # type: ignore[attr-defined]
        parts = client.hget(name, empty.id).split(b"|")
        client.hset(name, empty.id, b"|".join([*parts[:3], b"0", *parts[4:]]))
    assert bench.next().error == ""
    assert read_all(f"{tmp_path}/store/{empty.id}") == {"x": b"x"}


def test_the_end_of_input_cancels_what_waits(
    pd: PilotData,
    empty: DataUnit,
    folder: Path,
    session: DataSession,
    redis_server: LocalRedis,
    tmp_path: Path,
) -> None:
    epoch = holding(session, redis_server, [UNIT])
    session.catalogue.ask(empty.id, pd.id)
    session.catalogue.claim(empty.id, pd.id, "somebody", 0)
    write(folder, "x")
    with running(settings_of(session, redis_server, tmp_path / "sandbox"), tmp_path / "log") as mover:
        mover.say({"epoch": epoch})
        mover.ask(request("out", folder, {empty.id: ["x"]}))
        assert mover.end() == 0
        assert mover.next()["error"] == "canceled"
    assert not read_all(f"{tmp_path}/store")


def test_inputs_are_not_delivered_again(
    bench: Bench, pd: PilotData, empty: DataUnit, folder: Path, here: Path, session: DataSession
) -> None:
    write(here, "in.txt")
    unit = pd.submit_data_unit({"file_urls": [f"{here}/in.txt"]})
    assert unit.wait(30)
    assert bench.ask(request("in", folder, {unit.id: ["*"]})).error == ""
    write(folder, "out.txt")
    assert bench.ask(request("out", folder, {empty.id: ["*.txt"]})).error == ""
    assert known(session, empty) == sums("out.txt")


def test_files_are_copied_to_where_a_unit_wants_them(bench: Bench, folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "there")
    come = bench.ask(request("in", folder, None, f"{tmp_path}/there > here"))
    assert (come.error, come.bytes, come.linked) == ("", len("there"), 0)
    gone = bench.ask(request("out", folder, None, f"{tmp_path}/result < here"))
    assert (gone.error, (tmp_path / "result").read_bytes()) == ("", b"there")
    assert "gone" in bench.ask(request("in", folder, None, "gone > here")).error
    assert not (tmp_path / "sandbox" / CACHE).exists()
