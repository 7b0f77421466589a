"""Making replicas that others ask for: what is made here, how many at once, what is left to others and handed back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import pytest

from hindered_storage import Hindrance
from pilot_data import (
    DataUnit,
    PilotData,
    PilotDataService,
    State,
    TransferError,
    choosing,
    lease_watch,
    making,
    pending,
)
from pilot_data.data_session import DataSession
from pilot_data.endpoints import Endpoints, Limits
from pilot_data.errors import LoginError
from pilot_data.new_data_unit import make_data_unit
from pilot_data.stager import Stager
from pilot_data.staging_listener import StagingListener
from pilot_data.testing.sample_files import read_all, write_all
from pilot_data.this_machine import this_machine
from pilot_data.ways import Here, Way
from pilot_protocol.data_records import FileRecord, ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import CoordinationError, ForgedRecordError

Hinder = Callable[..., Hindrance]
MakePilotData = Callable[..., PilotData]


@pytest.fixture(params=["memory", "redis"])
def catalogue_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def here(here: str) -> Path:
    """See the general one."""
    return Path(here)


class Told(StagingListener):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.moving = 0
        self.most = 0
        self.begun_at: list[tuple[str, str]] = []
        self.ends: list[ReplicaRecord] = []
        self.left_to_others: list[tuple[str, str, str]] = []
        self.troubles: list[str] = []
        self._changed = threading.Condition()

    def comes_to(self, holds: Callable[[], bool]) -> bool:
        """Wait until something holds of what was told."""
        with self._changed:
            return self._changed.wait_for(holds, 30)

    def begun(self, data_unit: str, way: Way) -> None:
        """See `StagingListener.begun`."""
        with self._changed:
            self.moving += 1
            self.most = max(self.most, self.moving)
            self.begun_at.append((data_unit, way.store.id))
            self._changed.notify_all()

    def ended(self, replica: ReplicaRecord) -> None:
        """See `StagingListener.ended`."""
        with self._changed:
            self.moving -= 1
            self.ends.append(replica)
            self._changed.notify_all()

    def left(self, data_unit: str, pilot_data: str, reason: str) -> None:
        """See `StagingListener.left`."""
        with self._changed:
            self.left_to_others.append((data_unit, pilot_data, reason))
            self._changed.notify_all()

    def troubled(self, error: str) -> None:
        """See `StagingListener.troubled`."""
        with self._changed:
            self.troubles.append(error)
            self._changed.notify_all()


@pytest.fixture
def make_stager(session: DataSession) -> Iterator[Callable[..., Stager]]:
    """Return a maker of further stagers, as other processes have them; they are closed in the end."""
    made: list[Stager] = []

    def make(name: str = "pds-server", **keys: object) -> Stager:
        made.append(Stager(session.catalogue, name, **keys))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for stager in made:
        stager.close(cancel=True)


def asked_for(session: DataSession, here: Path, *stores: PilotData, name: str = "a") -> DataUnit:
    """Return a data unit that is asked for by nobody who makes it."""
    unit = make_data_unit(session, {"file_urls": [f"{here}/{name}"]}, [])
    for store in stores:
        session.catalogue.ask(unit.id, store.id)
    return unit


def everything(_store: object) -> bool:
    return True


def is_whole(session: DataSession, unit: DataUnit, count: int) -> bool:
    record = session.catalogue.data_unit(unit.id)
    assert record is not None
    return [one.letter for one in record.replicas.values()].count(ReplicaLetter.DONE) >= count


def test_what_others_ask_for_is_made_within_the_scope(
    session: DataSession, make_pd: MakePilotData, here: Path, make_stager: Callable[..., Stager]
) -> None:
    write_all(str(here), ["a"])
    one, two = make_pd("one"), make_pd("two")
    first, second = asked_for(session, here, one), asked_for(session, here, two)
    told = Told()
    make_stager(listener=told).serve(lambda store: store.id == two.id)
    assert second.wait(30)
    third = asked_for(session, here, one, two)
    assert session.catalogue.wait_for(lambda: is_whole(session, third, 1), 30)
    assert third.details["replicas"][one.id]["state"] is State.Pending
    assert first.state is State.Pending
    assert told.begun_at == [(second.id, two.id), (third.id, two.id)]


def test_who_serves_a_service_makes_what_is_asked_for_there(
    session: DataSession, service: PilotDataService, make_pd: MakePilotData, here: Path
) -> None:
    write_all(str(here), ["a"])
    unit = asked_for(session, here, make_pd("one"), make_pd("two"))
    assert not unit.wait(0)
    session.serve(service.id)
    assert session.catalogue.wait_for(lambda: is_whole(session, unit, 2), 30)


def test_a_service_makes_what_others_ask_for_at_its_places_once_it_has_begun(
    session: DataSession, pd: PilotData, here: Path
) -> None:
    write_all(str(here), ["a"])
    unit = asked_for(session, here, pd)
    assert not unit.wait(0), "a process that has asked for nothing has nothing to do with moving files"
    assert pd.submit_data_unit({"file_urls": [f"{here}/a"]}).wait(30)
    assert unit.wait(30)


def test_several_share_what_is_asked_for_and_nothing_moves_twice(
    session: DataSession, pd: PilotData, here: Path, make_stager: Callable[..., Stager]
) -> None:
    write_all(str(here), ["a"])
    units = [asked_for(session, here, pd) for _ in range(40)]
    told = [Told(), Told(), Told()]
    for number, each in enumerate(told):
        make_stager(f"pds-{number}", listener=each).serve(everything)
    for unit in units:
        assert unit.wait(50)
    begun = [replica for each in told for replica in each.begun_at]
    assert sorted(begun) == sorted((unit.id, pd.id) for unit in units)
    assert {one.letter for each in told for one in each.ends} == {ReplicaLetter.DONE}


def test_what_is_asked_for_elsewhere_hides_nothing(
    session: DataSession,
    pd: PilotData,
    make_pd: MakePilotData,
    here: Path,
    make_stager: Callable[..., Stager],
) -> None:
    write_all(str(here), ["a"])
    for _ in range(3 * choosing.SAMPLE):
        asked_for(session, here, pd)
    other = make_pd("other")
    unit = asked_for(session, here, other)
    make_stager().serve(lambda store: store.id == other.id)
    assert unit.wait(30)
    assert unit.state is State.Running
    assert len(session.catalogue.asked(choosing.SAMPLE)) == choosing.SAMPLE


@pytest.mark.parametrize("transfers", [1, 3])
def test_an_endpoint_has_so_many_transfers_at_once(
    session: DataSession,
    pd: PilotData,
    here: Path,
    hinder: Hinder,
    make_stager: Callable[..., Stager],
    transfers: int,
) -> None:
    write_all(str(here), ["a"])
    held = hinder("/store/")
    units = [asked_for(session, here, pd) for _ in range(8)]
    told = Told()
    make_stager(listener=told, endpoints=Endpoints(Limits(transfers))).serve(everything)
    assert told.comes_to(lambda: told.moving == transfers)
    held.go.set()
    for unit in units:
        assert unit.wait(30)
    assert (told.most, len(told.begun_at)) == (transfers, 8)


def test_what_others_asked_for_is_handed_back_with_what_has_arrived(
    session: DataSession, pd: PilotData, here: Path, hinder: Hinder, make_stager: Callable[..., Stager]
) -> None:
    write_all(str(here), ["run/a", "run/b", "run/c"])
    held = hinder("/store/", after=1)
    unit = asked_for(session, here, pd, name="run/")
    told = Told()
    leaving = make_stager(listener=told)
    leaving.serve(everything)
    assert held.reached.wait(30)
    leaving.close(cancel=True)
    assert [one.letter for one in told.ends] == [ReplicaLetter.PENDING]
    assert unit.details["replicas"][pd.id]["state"] is State.Pending
    assert "canceled" in unit.details["reason"]
    folder = pd.url_for_du(unit).removeprefix("file://")
    assert sorted(read_all(folder)) == ["a"]
    assert pd.details["used"] == 0
    held.go.set()
    make_stager("pds-other").serve(everything)
    assert unit.wait(30)
    assert (unit.state, read_all(folder)) == (State.Running, read_all(f"{here}/run"))
    assert unit.details["reason"] == ""


def test_what_one_has_asked_for_oneself_is_made_before_one_ends(
    session: DataSession, pd: PilotData, here: Path, hinder: Hinder
) -> None:
    write_all(str(here), ["a"])
    held = hinder("/store/")
    units = [pd.submit_data_unit({"file_urls": [f"{here}/a"]}) for _ in range(8)]
    assert held.reached.wait(30)
    closing = threading.Thread(target=session.stager.close)
    closing.start()
    held.go.set()
    closing.join(30)
    assert not closing.is_alive()
    assert {unit.state for unit in units} == {State.Running}


def test_what_cannot_be_reached_is_left_to_others_by_who_only_helps(
    session: DataSession, pd: PilotData, here: Path, hinder: Hinder, make_stager: Callable[..., Stager]
) -> None:
    write_all(str(here), ["a"])
    trouble = hinder("/store/", LoginError("pd does not let in"))
    unit = asked_for(session, here, pd)
    told = Told()
    make_stager(listener=told).serve(everything)
    assert told.comes_to(lambda: bool(told.ends))
    assert told.ends == [
        ReplicaRecord(unit.id, pd.id, ReplicaLetter.PENDING, told.ends[0].owner, 0, "pd does not let in")
    ]
    assert unit.details["reason"].endswith("the last attempt: pd does not let in")
    trouble.word = "nothing at all"
    make_stager("pds-other").serve(everything)
    assert unit.wait(30)
    assert (unit.state, len(told.begun_at)) == (State.Running, 1)


def test_what_could_not_be_reached_is_tried_again(
    session: DataSession,
    pd: PilotData,
    here: Path,
    hinder: Hinder,
    make_stager: Callable[..., Stager],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_all(str(here), ["a"])
    monkeypatch.setattr(making, "TRIED_AGAIN_S", 0.01)
    monkeypatch.setattr(lease_watch, "LEASE_S", 0.01)
    trouble = hinder("/store/", LoginError("pd does not let in"))
    unit = asked_for(session, here, pd)
    told = Told()
    make_stager(listener=told).serve(everything)
    assert told.comes_to(lambda: len(told.ends) > 1)
    trouble.word = "nothing at all"
    assert unit.wait(30)
    assert unit.state is State.Running


def test_local_files_of_another_machine_are_left_alone_and_explained(
    session: DataSession,
    pd: PilotData,
    here: Path,
    make_stager: Callable[..., Stager],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_all(str(here), ["a"])
    monkeypatch.setattr("pilot_data.new_data_unit.this_machine", lambda: "far.example.org/1")
    unit = asked_for(session, here, pd)
    told = Told()
    make_stager(listener=told).serve(everything)
    why = "the files it is made of are on far.example.org; let pilot-data serve run there"
    assert told.comes_to(lambda: told.left_to_others == [(unit.id, pd.id, why)])
    assert (unit.state, unit.details["reason"], unit.details["replicas"][pd.id]["reason"]) == (
        State.Pending,
        why,
        why,
    )
    make_stager("pds-there", here=Here("far.example.org/1", everything)).serve(everything)
    assert unit.wait(30)
    assert (unit.state, told.begun_at) == (State.Running, [])


def test_what_nobody_has_begun_says_so(session: DataSession, pd: PilotData, here: Path) -> None:
    write_all(str(here), ["a"])
    unit = asked_for(session, here, pd)
    assert unit.details["reason"] == pending.NOT_BEGUN
    record = session.catalogue.data_unit(unit.id)
    assert record is not None
    assert record.host == this_machine()
    assert "host" not in unit.details["description"]


def test_an_extra_copy_leaves_a_data_unit_running(
    session: DataSession, pd: PilotData, make_pd: MakePilotData, here: Path, hinder: Hinder
) -> None:
    write_all(str(here), ["a"])
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    other = make_pd("other")
    held = hinder("/other/")
    unit.add_pilot_data(other)
    assert held.reached.wait(30)
    assert unit.state is State.Running
    assert not unit.wait(0), "who asked for the copy waits for it"
    assert not other.wait(0)
    assert pd.wait(30)
    held.go.set()
    assert unit.wait(30)
    assert unit.list_pilot_data() == [pd, other]


def test_putting_waits_for_the_one_replica_and_tells_how_it_went(
    session: DataSession, pd: PilotData, make_pd: MakePilotData, here: Path, hinder: Hinder
) -> None:
    write_all(str(here), ["a"])
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    held, slow, other = hinder("/slow/"), make_pd("slow"), make_pd("other")
    unit.add_pilot_data(slow)
    assert held.reached.wait(30)
    other.put_du(unit)
    assert unit.list_pilot_data() == [pd, other]
    hinder("/broken/", TransferError("no"))
    with pytest.raises(TransferError, match=r"is not at pd-.*: no"):
        make_pd("broken").put_du(unit)


def test_files_of_which_there_is_no_copy_left_are_told(
    session: DataSession, pd: PilotData, here: Path, make_stager: Callable[..., Stager]
) -> None:
    write_all(str(here), ["run/a", "run/b"])
    unit = asked_for(session, here, pd, name="run/")
    Path(here, "run/b").unlink()
    make_stager().serve(everything)
    assert unit.wait(30)
    assert unit.state is State.Failed
    assert f"no Pilot-Data has data unit {unit.id} whole" in unit.details["reason"]
    assert "'b'" in unit.details["reason"]


def test_who_adds_files_is_not_overtaken(
    session: DataSession, pd: PilotData, here: Path, make_stager: Callable[..., Stager]
) -> None:
    write_all(str(here), ["a", *(f"more{number}" for number in range(10))])
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    for number in range(3):
        make_stager(f"pds-{number}").serve(everything)
    for number in range(10):
        unit.add_files([f"{here}/more{number}"])
    assert sorted(unit.list()) == sorted(read_all(str(here)))
    assert read_all(pd.url_for_du(unit).removeprefix("file://")) == read_all(str(here))


def test_relative_names_are_those_of_who_named_them(
    session: DataSession,
    pd: PilotData,
    here: Path,
    tmp_path: Path,
    make_stager: Callable[..., Stager],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_all(str(here), ["run/a", "b", "c1", "c2"])
    monkeypatch.chdir(here)
    unit = make_data_unit(session, {"file_urls": ["run/", "b", "c*"]}, [])
    session.catalogue.ask(unit.id, pd.id)
    monkeypatch.chdir(tmp_path)
    make_stager().serve(everything)
    assert unit.wait(30)
    assert (unit.state, sorted(unit.list())) == (State.Running, ["a", "b", "c1", "c2"])
    assert unit.details["description"]["file_urls"] == [f"{here}/{name}" for name in ("run/", "b", "c*")]


@pytest.mark.parametrize("kind", ["data_unit", "pilot_data"])
def test_a_record_that_cannot_be_read_stops_nobody(
    session: DataSession,
    pd: PilotData,
    make_pd: MakePilotData,
    here: Path,
    make_stager: Callable[..., Stager],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_all(str(here), ["a"])
    other = make_pd("other")
    bad = asked_for(session, here, other)
    forged = bad.id if kind == "data_unit" else other.id
    read = getattr(session.catalogue, kind)

    def read_or_refuse(name: str) -> object:
        if name == forged:
            raise ForgedRecordError(f"{name} is not signed")
        return read(name)

    monkeypatch.setattr(session.catalogue, kind, read_or_refuse)
    told = Told()
    make_stager(listener=told).serve(everything)
    for _ in range(2):
        assert asked_for(session, here, pd).wait(30)
    assert told.troubles == [f"{forged} is passed over: {forged} is not signed"]


def test_a_catalogue_that_is_away_again_and_again_takes_no_room_from_transfers(
    session: DataSession,
    pd: PilotData,
    here: Path,
    make_stager: Callable[..., Stager],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It fails when one replica has been chosen already, more often than there is room."""
    error = CoordinationError("it is away")
    write_all(str(here), ["a"])
    units = [asked_for(session, here, pd) for _ in range(2)]
    read, seen, failures = session.catalogue.data_unit, set[str](), iter([error] * 4)

    def read_or_fail(name: str) -> object:
        if threading.current_thread().name == "stager":
            seen.add(name)
            if len(seen) == 2 and (failing := next(failures, None)):
                seen.clear()
                raise failing
        return read(name)

    monkeypatch.setattr(session.catalogue, "data_unit", read_or_fail)
    monkeypatch.setattr("pilot_data.stager.pauses", lambda: repeat(0.0))
    told = Told()
    make_stager(listener=told, endpoints=Endpoints(Limits(2))).serve(everything)
    for unit in units:
        assert unit.wait(10)
    assert told.troubles == [str(error)] * 4


def test_one_that_cannot_go_on_says_so(
    session: DataSession,
    pd: PilotData,
    here: Path,
    make_stager: Callable[..., Stager],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_most: int = 0) -> list[tuple[str, str]]:
        raise CoordinationError("the password is wrong", transient=False)

    monkeypatch.setattr(session.catalogue, "asked", refuse)
    told = Told()
    make_stager(listener=told).serve(everything)
    assert told.comes_to(lambda: told.troubles == ["the password is wrong"])


def test_a_replica_that_has_no_room_for_what_it_lacks_leaves_no_files(
    session: DataSession,
    pd: PilotData,
    make_pd: MakePilotData,
    here: Path,
    tmp_path: Path,
    make_stager: Callable[..., Stager],
) -> None:
    write_all(str(here), ["a"], size=600_000)
    small = make_pd("small", size=1)
    unit = asked_for(session, here, pd, small)
    make_stager().serve(everything)
    assert session.catalogue.wait_for(lambda: is_whole(session, unit, 2), 30)
    assert read_all(f"{tmp_path}/small")
    session.catalogue.put_files(unit.id, [FileRecord("b", 600_000)])
    session.catalogue.ask(unit.id, small.id)
    assert session.catalogue.wait_for(lambda: unit.details["replicas"][small.id]["state"] is State.Failed, 30)
    assert not read_all(f"{tmp_path}/small")
    assert small.details["used"] == 0
