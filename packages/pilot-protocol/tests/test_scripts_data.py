"""Scripts about data: Pilot-Data, data units, their files, and replicas that somebody has the lease of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilot_protocol import data_ops, pilot_ops
from pilot_protocol.data_ops import ClaimAnswer
from pilot_protocol.data_records import FileRecord, ReplicaLetter, ReplicaRecord, state_of_replicas
from scripted_data import DU, ME, PD, YOU, ScriptedData
from scripted_session import ScriptedSession
from session_invariants import check_session

GRANTED = ClaimAnswer("granted", "")


@pytest.fixture
def data(session: ScriptedSession) -> ScriptedData:
    """A Pilot-Data for 100 bytes, and a data unit with a file of 40."""
    data = ScriptedData(session)
    data.declare()
    data.put(FileRecord("a", 40))
    return data


def test_what_is_declared_twice_is_as_it_was_first(data: ScriptedData) -> None:
    data.run(data_ops.declare_pilot_data(data.keys, PD, b"other"))
    data.run(data_ops.declare_data_unit(data.keys, DU, b"other", 9))
    assert data.ask(data_ops.pilot_data_record, PD) == b"record"
    assert data.ask(data_ops.data_unit_record, DU) == b"record"
    assert data.ask(data_ops.pilot_data_state, PD) == ("Running", "")
    assert data.state == ("Pending", "")
    assert data.session.link.query(data_ops.pilot_data_made(data.keys)) == [PD]
    assert data.session.link.query(data_ops.data_units_made(data.keys)) == [DU]


def test_what_has_ended_stays_so(data: ScriptedData) -> None:
    for ended in (1, 0):
        assert data.run(data_ops.end_pilot_data(data.keys, PD, "Failed", "gone | 100 %")) == ended
        assert data.run(data_ops.end_data_unit(data.keys, DU, "Canceled", "ä b")) == ended
    assert data.run(data_ops.end_pilot_data(data.keys, PD, "Done", "")) == 0
    assert data.ask(data_ops.pilot_data_state, PD) == ("Failed", "gone | 100 %")
    assert data.state == ("Canceled", "ä b")
    data.want()
    assert data.state == ("Canceled", "ä b")


def test_what_is_not_known_is_refused(data: ScriptedData) -> None:
    keys, none = data.keys, "du-zzzzzzzz"
    assert data.run(data_ops.end_pilot_data(keys, "pd-zzzzzzzz", "Done", "")) == 0
    assert data.run(data_ops.end_data_unit(keys, none, "Done", "")) == 0
    assert data.run(data_ops.put_files(keys, none, [(FileRecord("a"), b"")])) is None
    assert data.run(data_ops.remove_files(keys, none, ["a"])) is None
    assert data.run(data_ops.ask_replica(keys, none, PD)) is None
    assert data.run(data_ops.renew_replica(keys, none, PD, ME, 1, 1)) == 0
    assert data.run(data_ops.settle_replica(keys, ReplicaRecord(none, PD, "D", ME))) == 0
    assert data.run(data_ops.forget_replica(keys, none, PD)) == 0
    assert data.claim(data_unit=none).verdict == "unit"
    assert data.claim(pilot_data="pd-zzzzzzzz").verdict == "store"
    assert data.claim().verdict == "unasked"
    assert data.ask(data_ops.data_unit_record, none) is None
    assert data.ask(data_ops.data_unit_state, none) == ("", "")
    assert data.ask(data_ops.replicas, none) == []
    assert data.ask(data_ops.pilot_data_used, "pd-zzzzzzzz") == 0


def test_files_are_counted_once_however_often_they_are_said(data: ScriptedData) -> None:
    for _ in range(2):
        assert data.put(FileRecord("b", 2), FileRecord("link", 7, link="a")) == 3
    assert data.ask(data_ops.data_unit_bytes, DU) == 42
    data.put(FileRecord("a", 1))
    assert data.ask(data_ops.data_unit_bytes, DU) == 3
    assert [data.remove("a", "none"), data.remove("a", "none")] == [1, 0]
    assert data.ask(data_ops.data_unit_bytes, DU) == 2
    assert data.ask(data_ops.number_of_files, DU) == 2
    assert sorted(data.files()) == ["b", "link"]


def test_removing_files_without_bytes_spoils_no_sum(data: ScriptedData) -> None:
    data.put(FileRecord("empty"))
    assert data.remove("empty") == 1
    assert data.ask(data_ops.data_unit_bytes, DU) == 40


@pytest.mark.parametrize("size", [10**14, 10**15 + 1, 2**52 + 1])
def test_petabytes_are_counted_exactly(data: ScriptedData, size: int) -> None:
    data.put(FileRecord("a", size))
    data.want()
    assert data.claim(size, limit=size + 3) == GRANTED
    assert data.ask(data_ops.data_unit_bytes, DU) == data.used == size
    data.settle("D", size)
    data.put(FileRecord("a", size + 1))
    assert data.ask(data_ops.data_unit_bytes, DU) == size + 1
    data.run(data_ops.forget_replica(data.keys, DU, PD))
    assert data.used == 0


@given(paths=st.lists(st.binary(min_size=1, max_size=30), min_size=1, unique=True))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_paths_have_any_bytes(data: ScriptedData, paths: list[bytes]) -> None:
    data.session.client.delete(data.keys.files(DU))
    data.session.client.hdel(data.keys.named("data_unit_bytes"), DU)
    names = [path.decode("utf-8", "surrogateescape") for path in paths]
    data.put(*(FileRecord(name, 1) for name in names))
    assert set(data.files()) == set(names)
    assert data.remove(*names) == len(names)


@given(reason=st.text(st.characters(exclude_categories=[])))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_reasons_are_any_text(data: ScriptedData, reason: str) -> None:
    data.run(data_ops.forget_replica(data.keys, DU, PD))
    data.session.client.hset(data.keys.named("data_unit_states"), DU, "Pending|1|")
    data.want()
    data.claim()
    data.settle("F", reason=reason)
    assert data.replica == ReplicaRecord(DU, PD, "F", reason=reason)
    assert data.state == ("Failed", reason)


def test_a_replica_s_way(data: ScriptedData) -> None:
    data.want()
    assert data.claim() == GRANTED
    assert data.replica == ReplicaRecord(DU, PD, "R", ME)
    assert data.renew(7) == 1
    assert data.replica.bytes == 7
    assert data.state == ("Pending", "")
    assert data.settle("D", 40) == 1
    assert data.replica == ReplicaRecord(DU, PD, "D", bytes=40)
    assert data.state == ("Running", "")
    assert data.used == 40


def test_every_step_may_be_said_twice(data: ScriptedData) -> None:
    for _ in range(2):
        data.want()
    for _ in range(2):
        assert data.claim() == GRANTED
        assert data.used == 40
    for _ in range(2):
        assert data.renew(7) == 1
    assert [data.settle("D", 40), data.settle("D", 40)] == [1, 0]
    assert data.claim() == ClaimAnswer("done", "")
    forget = data_ops.forget_replica(data.keys, DU, PD)
    assert [data.run(forget), data.run(forget)] == [1, 0]
    assert data.used == 0


def test_a_replica_has_one_writer(data: ScriptedData) -> None:
    data.want()
    data.claim()
    data.want()
    assert data.claim(owner=YOU) == ClaimAnswer("held", ME)
    assert data.renew(7, owner=YOU) == 0
    assert data.settle("D", 40, owner=YOU) == 0
    assert data.replica.owner == ME


def test_a_lease_that_is_over_is_somebody_else_s(data: ScriptedData) -> None:
    data.want()
    data.claim()
    data.pass_lease()
    assert data.renew(7) == 1, "nobody else has asked yet"
    data.pass_lease()
    assert data.claim(50, owner=YOU) == GRANTED
    assert data.used == 50
    assert data.renew(7) == 0
    assert data.settle("F") == 0
    assert data.settle("D", 50, owner=YOU) == 1


@pytest.mark.parametrize("letter", ["F", "C"])
def test_an_end_that_is_not_well_gives_the_room_back(data: ScriptedData, letter: str) -> None:
    data.want()
    data.claim()
    data.settle(letter, 3, reason="why")
    assert data.used == 0
    assert data.replica == ReplicaRecord(DU, PD, letter, "", 3, "why")


def test_what_a_done_replica_does_not_need_is_given_back(data: ScriptedData) -> None:
    data.want()
    data.claim(60)
    data.settle("D", 40)
    assert data.used == 40
    data.put(FileRecord("empty"))
    data.remove("empty")
    assert data.used == 40
    data.remove("a")
    assert data.used == 0
    assert data.replica.bytes == 0


def test_a_full_pilot_data_takes_no_more(data: ScriptedData) -> None:
    data.want()
    data.claim(40)
    data.settle("D", 40)
    other = "du-bbbbbbbb"
    data.run(data_ops.declare_data_unit(data.keys, other, b"record", 1))
    data.run(data_ops.ask_replica(data.keys, other, PD))
    assert data.claim(61, data_unit=other) == ClaimAnswer("full", "40")
    assert data.ask(data_ops.data_unit_state, other) == ("Failed", "40 of 100 % are used")
    assert data.used == 40
    data.run(data_ops.declare_data_unit(data.keys, "du-cccccccc", b"record", 1))
    data.run(data_ops.ask_replica(data.keys, "du-cccccccc", PD))
    assert data.claim(60, data_unit="du-cccccccc") == GRANTED
    assert data.used == 100


def test_any_amount_fits_where_there_is_no_limit(data: ScriptedData) -> None:
    data.want()
    assert data.claim(10**12, limit=0) == GRANTED


def test_what_an_expired_claim_has_reserved_is_given_back_when_the_next_does_not_fit_and_has_cleared_up(
    data: ScriptedData,
) -> None:
    data.want()
    data.claim(40)
    data.pass_lease()
    assert data.claim(101, owner=YOU) == ClaimAnswer("full", "0")
    assert (data.replica.letter, data.replica.owner, data.used) == ("R", YOU, 40)
    assert data.settle("F", owner=YOU) == 1
    assert data.used == 0


def test_a_replica_that_has_no_room_for_what_it_lacks_fails(data: ScriptedData) -> None:
    data.want()
    data.claim(40)
    data.settle("D", 40)
    data.want()
    assert data.state == ("Pending", "")
    assert data.claim(101).verdict == "full"
    reason = "0 of 100 % are used"
    assert data.replica == ReplicaRecord(DU, PD, "R", ME, 0, reason)
    assert (data.state, data.used) == (("Pending", ""), 40)
    assert data.settle("F", 0, reason=reason) == 1
    assert data.state == ("Failed", reason)
    assert data.used == 0


def test_a_whole_replica_gets_more_files(data: ScriptedData) -> None:
    data.want()
    data.claim(40)
    data.settle("D", 40)
    data.put(FileRecord("b", 60))
    data.want()
    assert data.claim(100) == GRANTED
    data.settle("D", 100)
    assert data.used == 100


@pytest.mark.parametrize("end", ["unit", "store"])
def test_nothing_goes_on_where_something_has_ended(data: ScriptedData, end: str) -> None:
    data.want()
    data.claim()
    if end == "unit":
        data.run(data_ops.end_data_unit(data.keys, DU, "Canceled", ""))
        assert data.renew(7) == 0
    else:
        data.run(data_ops.end_pilot_data(data.keys, PD, "Canceled", ""))
        assert data.renew(7) == 1, "the owner sees for itself that the Pilot-Data has ended"
    assert data.claim().verdict == end
    assert data.settle("C") == 1
    assert data.used == 0


def test_a_replica_that_was_ended_can_be_asked_for_again(data: ScriptedData) -> None:
    data.run(data_ops.declare_data_unit(data.keys, "du-bbbbbbbb", b"record", 0))
    data.run(data_ops.ask_replica(data.keys, "du-bbbbbbbb", "pd-bbbbbbbb"))  # else the data unit ended
    data.run(data_ops.ask_replica(data.keys, "du-bbbbbbbb", PD))
    data.claim(data_unit="du-bbbbbbbb")
    data.settle("C", data_unit="du-bbbbbbbb")
    assert data.claim(data_unit="du-bbbbbbbb").verdict == "unasked"
    data.run(data_ops.ask_replica(data.keys, "du-bbbbbbbb", PD))
    assert data.claim(data_unit="du-bbbbbbbb") == GRANTED


@given(letters=st.text("PRDFC", max_size=5), wanted=st.integers(1, 4))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_states_follow_from_replicas_as_in_python(data: ScriptedData, letters: str, wanted: int) -> None:
    client, keys = data.session.client, data.keys
    client.hset(keys.named("data_unit_states"), DU, f"Pending|{wanted}|")
    texts = [f"pd-{number}|{letter}||0|0|0|0|" for number, letter in enumerate(letters)]
    client.hset(keys.named("replicas"), DU, " ".join([*texts, f"{PD}|R|{ME}|0|0|0|0|"]))
    client.delete(keys.named("asked"))  # those of the last example
    data.settle("D")
    replicas = data.ask(data_ops.replicas, DU)
    assert [replica.letter for replica in replicas] == [*letters, "D"]
    assert data.state[0] == state_of_replicas(replicas, wanted)


def test_what_happens_is_told(data: ScriptedData) -> None:
    data.want()
    data.claim()
    data.renew(1)
    data.settle("D", 40)
    data.run(data_ops.forget_replica(data.keys, DU, PD))
    data.run(data_ops.end_pilot_data(data.keys, PD, "Canceled", ""))
    told = [pair for event in data.session.events() for pair in event.data]
    assert not any(event.units for event in data.session.events())
    assert [state for name, state in told if name == PD] == ["Running", "Canceled"]
    states = [state for name, state in told if name == DU]
    assert states == ["Pending"] * 5 + ["Running"] * 2


def test_all_keys_live_as_long_as_the_session_and_go_with_it(data: ScriptedData) -> None:
    data.want()
    data.claim()
    client, keys = data.session.client, data.keys
    names = [name for name in client.keys("*") if b"data" in name or b"files" in name or b"replicas" in name]
    assert len(names) == 11
    for name in names:
        client.expire(name, 5)
    client.hset(keys.named("meta"), "renewed", 1)
    data.session.sweep()
    check_session(data.session)
    assert data.run(pilot_ops.purge(keys)) > len(names)
    assert client.keys("*") == []


SPOILT: tuple[Any, ...] = (
    b"", b"\x00 \xff\xfe|%s%d", b"nan", b"-1", b"-0", b"9" * 40, "²|".encode(), b"Nonsense|1|", b"Running|x|%ff",
    b"pd-aaaaaaaa|R|me|x|0|0|0|", f"{PD}|D||0|{'9' * 20}|{'9' * 20}|0|%ff%zz".encode(), f"{PD}|D||0|²|0|0|".encode(),
)  # fmt: skip
PLACES = (
    ("pilot_data_states", PD), ("pilot_data_used", PD), ("data_unit_states", DU), ("data_unit_bytes", DU),
    ("replicas", DU),
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=[name for name, _ in PLACES])
def test_what_is_spoilt_harms_nothing_else(session: ScriptedSession, place: tuple[str, str]) -> None:
    for value in SPOILT:
        data = ScriptedData(session)
        session.client.flushall()
        data.session = session = ScriptedSession(session.link)
        data.declare()
        data.put(FileRecord("a", 40))
        data.want()
        data.claim()
        session.client.hset(data.keys.named(place[0]), place[1], value)
        data.say_everything()
        data.read_everything()
        other = "du-bbbbbbbb"
        data.run(data_ops.declare_pilot_data(data.keys, "pd-bbbbbbbb", b"record"))
        data.run(data_ops.declare_data_unit(data.keys, other, b"record", 1))
        data.run(data_ops.ask_replica(data.keys, other, "pd-bbbbbbbb"))
        assert data.claim(data_unit=other, pilot_data="pd-bbbbbbbb") == GRANTED
        assert data.settle("D", 40, data_unit=other, pilot_data="pd-bbbbbbbb") == 1, value
    session.client.flushall()


def test_letters_are_all_known() -> None:
    letters = {value for name, value in vars(ReplicaLetter).items() if name.isupper()}
    assert letters == set("PRDFC")
