"""Units that read data units and add to them: until when they wait, and what lets them go."""

from __future__ import annotations

from typing import Any

import pytest

from pilot_protocol import data_ops, reads
from scripted_inputs import HERE, THERE, ScriptedInputs, X, Y, Z
from scripted_session import ScriptedPilot, ScriptedSession, unit_id


@pytest.fixture
def data(session: ScriptedSession) -> ScriptedInputs:
    """A session with one place for data."""
    inputs = ScriptedInputs(session)
    inputs.store(HERE)
    return inputs


@pytest.fixture
def pilot(session: ScriptedSession) -> ScriptedPilot:
    """A pilot near it."""
    return session.pilot(cores=8)


def test_data_that_is_there_is_not_waited_for(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.have(X, HERE)
    assert data.submit(0, reads=[X]) == 1
    assert data.session.letters(0) == "N"
    assert pilot.claim(1) == [0]


def test_data_that_is_not_there_is_waited_for(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.have(X)
    data.submit(0, 1, reads=[X])
    assert data.session.letters(0, 1) == "WW"
    assert data.waits(0, 1) == [1, 1]
    data.ask(X, HERE)
    data.copy(X, HERE)
    assert pilot.claim(3) == [0, 1]


def test_units_and_data_are_waited_for_alike(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.have(X)
    data.session.submit(0)
    data.submit(1, reads=[X], after=(0,))
    assert data.waits(1) == [2]
    pilot.claim(1)
    pilot.report((0, 1, "D"))
    assert data.session.letters(1) == "W"
    data.ask(X, HERE)
    data.copy(X, HERE)
    assert pilot.claim(1) == [1]


@pytest.mark.parametrize(
    "what", [{"reads": [X, "du-nobody"]}, {"adds": ["du-nobody"]}, {"reads": [X], "adds": [Y, X]}]
)
def test_what_cannot_be_read_or_filled_is_refused(data: ScriptedInputs, what: dict[str, Any]) -> None:
    data.have(X, HERE)
    data.make(Y)
    assert data.submit(0, **what) == 0
    assert data.session.link.query(data_ops.producers(data.keys, [X, Y])) == [0, 0]


def test_a_submission_that_is_said_twice_counts_once(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X)
    assert data.submit(0, 1, adds=[X]) == 2
    assert data.submit(0, 1, adds=[X]) == 0
    assert data.read(X).producers == 2
    pilot.claim(2)
    data.fill(pilot, 0, X, HERE)
    assert data.submit(0, 1, adds=[X]) == 0
    assert data.read(X).producers == 1


def test_a_chain_goes_on_with_the_report_of_each_end(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X, Y)
    data.submit(2, reads=[Y])
    data.submit(1, reads=[X], adds=[Y])
    data.submit(0, adds=[X])
    assert data.session.letters(0, 1, 2) == "NWW"
    for number, name in enumerate([X, Y]):
        assert pilot.claim(4) == [number]
        data.fill(pilot, number, name, HERE)
    assert pilot.claim(4) == [2]
    assert pilot.report((2, 1, "D")) == "1"
    assert data.read(Y)[1:] == ("Running", "", 10, 1, data.read(Y).replicas, 0, "")


def test_all_that_add_to_it_are_waited_for(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X)
    data.submit(*range(5), adds=[X])
    data.submit(5, reads=[X])
    pilot.claim(5)
    for number in range(4):
        data.fill(pilot, number, X, HERE)
        assert (data.read(X).state, data.session.letters(5)) == ("Pending", "W")
    data.fill(pilot, 4, X, HERE)
    assert (data.read(X).state, data.session.letters(5)) == ("Running", "N")


def test_a_diamond_of_data(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X, Y, Z)
    data.submit(0, adds=[X])
    data.submit(1, reads=[X], adds=[Y])
    data.submit(2, reads=[X], adds=[Z])
    data.submit(3, reads=[Y, Z])
    pilot.claim(1)
    data.fill(pilot, 0, X, HERE)
    assert pilot.claim(4) == [1, 2]
    data.fill(pilot, 1, Y, HERE)
    assert (data.session.letters(3), data.waits(3)) == ("W", [1])
    data.fill(pilot, 2, Z, HERE)
    assert pilot.claim(1) == [3]


def test_data_that_gets_more_is_waited_for_again(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.have(X, HERE)
    data.submit(0, adds=[X])
    assert data.read(X).state == "Pending"
    data.submit(1, reads=[X])
    assert data.session.letters(1) == "W"
    pilot.claim(1)
    data.fill(pilot, 0, X, HERE)
    assert (data.read(X).files, data.session.letters(1)) == (2, "N")


def test_what_was_released_by_one_and_took_back_by_another_waits_on(
    data: ScriptedInputs, pilot: ScriptedPilot
) -> None:
    data.make(Y)
    data.have(X, HERE)
    data.submit(0, reads=[X, Y])
    assert data.waits(0) == [1]
    data.submit(1, adds=[X])
    data.submit(2, adds=[Y])
    pilot.claim(2)
    data.fill(pilot, 2, Y, HERE)
    assert (data.session.letters(0), data.waits(0)) == ("W", [1])
    data.fill(pilot, 1, X, HERE)
    assert data.session.letters(0) == "N"


# --- what does not end well


@pytest.mark.parametrize("letter", "FC")
def test_a_producer_that_fails_spoils_it(data: ScriptedInputs, pilot: ScriptedPilot, letter: str) -> None:
    data.make(X, Y)
    data.submit(0, 1, adds=[X])
    data.submit(2, reads=[X], adds=[Y])
    data.submit(3, reads=[Y])
    data.submit(4, reads=[X], run_after_failure=True)
    pilot.claim(2)
    assert data.deliver(pilot, 1, X, HERE, ("1", 10)).verdict == "delivered"
    pilot.report((0, 1, letter))
    assert data.session.letters(2, 3, 4) == "CCW"
    assert data.session.reason(2) == f"dependency {X}"
    assert data.session.reason(3) == f"dependency {Y}"
    assert data.session.link.query(data_ops.spoilt(data.keys, [X, Y, Z])) == [unit_id(0), unit_id(2), None]
    pilot.report((1, 1, "D"))
    assert data.session.letters(4) == "N"
    data.submit(5, reads=[X])
    data.submit(6, reads=[X], run_after_failure=True)
    assert data.session.letters(5, 6) == "CN"


def test_without_files_nobody_runs_after_failure(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X)
    data.submit(0, adds=[X])
    data.submit(1, reads=[X], run_after_failure=True)
    pilot.claim(1)
    pilot.report((0, 1, "F"))
    assert (data.session.letters(1), data.session.reason(1)) == ("C", f"dependency {X}")
    data.submit(2, reads=[X], run_after_failure=True)
    assert data.session.letters(2) == "C"


@pytest.mark.parametrize("anyway", [False, True])
def test_who_waits_for_a_data_unit_that_ends(
    data: ScriptedInputs, pilot: ScriptedPilot, anyway: bool
) -> None:
    data.have(X)
    data.have(Y, HERE)
    data.submit(0, adds=[Y])
    data.submit(1, reads=[X], run_after_failure=anyway)
    data.submit(2, reads=[Y], run_after_failure=anyway)
    data.end(X)
    data.end(Y)
    assert data.session.letters(1, 2) == ("CN" if anyway else "CC")
    data.submit(3, reads=[Y], run_after_failure=anyway)
    assert data.session.letters(3) == ("N" if anyway else "C")


def test_a_unit_that_is_canceled_at_once_spoils_what_it_was_to_fill(
    data: ScriptedInputs, pilot: ScriptedPilot
) -> None:
    data.make(X, Y)
    data.session.submit(0)
    data.session.cancel(0)
    data.submit(2, reads=[X])
    data.submit(1, adds=[X], after=(0,))
    assert data.session.letters(1, 2) == "CC"
    assert data.read(X)[6:] == (0, unit_id(1))


def test_a_retry_is_no_end(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X)
    data.submit(0, adds=[X], retries=1)
    data.submit(1, reads=[X])
    pilot.claim(1)
    pilot.report((0, 1, "E"))
    assert data.session.letters(0, 1) == "NW"
    assert data.read(X).producers == 1
    pilot.claim(1)
    assert data.deliver(pilot, 0, X, HERE, ("a", 1), attempt=1).verdict == "stale"
    assert data.deliver(pilot, 0, X, HERE, ("a", 1), attempt=2).verdict == "delivered"
    pilot.report((0, 2, "D"))
    assert data.session.letters(1) == "N"


def test_canceled_units_leave_nothing(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.have(X)
    data.make(Y)
    data.submit(0, reads=[X], adds=[Y])
    data.submit(1, reads=[X])
    assert data.session.cancel(0, 1) == "11"
    assert data.session.link.query(reads.inputs(data.keys, [unit_id(0), unit_id(1)])) == [None, None]
    assert data.read(Y)[6:] == (0, unit_id(0))


# --- deliveries


def test_a_delivery_is_the_same_twice(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X)
    data.submit(0, adds=[X])
    pilot.claim(1)
    assert data.deliver(pilot, 0, X, HERE).verdict == "delivered"
    assert (data.letters(X), data.used(HERE)) == ({HERE: "D"}, 0)
    for _ in range(2):
        assert data.deliver(pilot, 0, X, HERE, ("a", 3), ("b", 4)).verdict == "delivered"
        assert (data.used(HERE), data.read(X).size, data.read(X).files) == (7, 7, 2)
    assert data.deliver(pilot, 0, X, HERE, ("b", 1)).verdict == "delivered"
    assert (data.used(HERE), data.read(X).size) == (4, 4)


def test_only_who_holds_the_unit_delivers(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X)
    data.submit(0, adds=[X])
    other = data.session.pilot("p-bbbbbbbb")
    assert data.deliver(pilot, 0, X, HERE, ("a", 1), attempt=0).verdict == "stale"
    pilot.claim(1)
    assert data.deliver(other, 0, X, HERE, ("a", 1)).verdict == "stale"
    assert data.deliver(pilot, 7, X, HERE, ("a", 1)).verdict == "stale"
    epoch, pilot.epoch = pilot.epoch, "1"
    assert data.deliver(pilot, 0, X, HERE, ("a", 1)).verdict == "stale"
    pilot.epoch = epoch
    pilot.report((0, 1, "D"))
    assert data.deliver(pilot, 0, X, HERE, ("a", 1)).verdict == "over"
    assert data.deliver(other, 0, X, HERE, ("a", 1)).verdict == "stale"
    assert data.read(X).files == 0


def test_the_verdicts_of_deliveries(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.store(THERE, "there", limit=5)
    data.make(X, Y, Z)
    data.submit(0, adds=[X, Y, Z])
    pilot.claim(1)
    assert data.deliver(pilot, 0, X, "pd-unknown", ("a", 1)).verdict == "store"
    assert data.deliver(pilot, 0, "du-unknown", HERE, ("a", 1)).verdict == "unit"
    assert data.deliver(pilot, 0, X, HERE, ("a", 1)).verdict == "delivered"
    assert data.deliver(pilot, 0, X, THERE, ("b", 1)) == data_ops.DeliveryAnswer("elsewhere", HERE)
    assert data.deliver(pilot, 0, Y, THERE, ("a", 4)).verdict == "delivered"
    assert data.deliver(pilot, 0, Y, THERE, ("b", 4)) == data_ops.DeliveryAnswer("full", "4")
    assert data.read(Y).files == 1
    data.end_store(THERE)
    assert data.deliver(pilot, 0, Y, THERE, ("b", 1)).verdict == "store"
    data.end(Z)
    assert data.deliver(pilot, 0, Z, HERE, ("b", 1)).verdict == "unit"


def test_a_replica_whose_owner_is_gone_is_not_busy(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.have(X)
    data.ask(X, HERE)
    data.claim(X, HERE)
    data.submit(0, adds=[X])
    pilot.claim(1)
    assert data.deliver(pilot, 0, X, HERE, ("a", 1)).verdict == "busy"
    name = data.keys.named("replicas")
    parts = data.session.client.hget(name, X).split(b"|")
    data.session.client.hset(name, X, b"|".join([*parts[:3], b"1", *parts[4:]]))
    assert data.deliver(pilot, 0, X, HERE, ("a", 1)).verdict == "delivered"
    assert data.letters(X) == {HERE: "P"}
    assert data.settle(X, HERE, "F") == 0
    pilot.report((0, 1, "D"))
    assert data.asked() == [(X, HERE)]
    assert data.claim(X, HERE).verdict == "granted"


def test_a_replica_in_work_is_busy_and_one_that_waits_for_files_is_not(
    data: ScriptedInputs, pilot: ScriptedPilot
) -> None:
    data.have(X)
    data.make(Y)
    data.ask(X, HERE)
    data.ask(Y, HERE)
    assert data.asked() == [(X, HERE), (Y, HERE)]
    data.claim(X, HERE)
    data.submit(0, adds=[X, Y])
    pilot.claim(1)
    assert data.asked() == [(X, HERE)]
    assert data.deliver(pilot, 0, X, HERE, ("a", 1)).verdict == "busy"
    assert data.deliver(pilot, 0, Y, HERE, ("a", 1)).verdict == "delivered"
    assert data.letters(Y) == {HERE: "D"}
    data.settle(X, HERE, "D", 100)
    assert data.deliver(pilot, 0, X, HERE, ("a", 1)).verdict == "delivered"
    assert (data.letters(X), data.used(HERE)) == ({HERE: "D"}, 102)


def test_files_that_were_to_come_come_after_the_last_producer(
    data: ScriptedInputs, pilot: ScriptedPilot
) -> None:
    data.have(X)
    data.ask(X, HERE)
    data.submit(0, adds=[X])
    data.submit(1, reads=[X])
    pilot.claim(1)
    data.fill(pilot, 0, X, HERE)
    assert (data.letters(X), data.asked(), data.session.letters(1)) == ({HERE: "P"}, [(X, HERE)], "W")
    data.claim(X, HERE, 110)
    data.settle(X, HERE, "D", 110)
    assert (data.used(HERE), data.session.letters(1)) == (110, "N")


def test_other_replicas_are_brought_up_to_date(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.store(THERE, "there")
    data.have(X, HERE, THERE)
    data.submit(0, adds=[X])
    pilot.claim(1)
    assert data.deliver(pilot, 0, X, HERE).verdict == "delivered"
    assert data.letters(X) == {HERE: "D", THERE: "D"}
    assert data.deliver(pilot, 0, X, HERE, ("0", 10)).verdict == "delivered"
    assert (data.letters(X), data.asked()) == ({HERE: "D", THERE: "P"}, [])
    pilot.report((0, 1, "D"))
    assert data.asked() == [(X, THERE)]
    data.copy(X, THERE)
    assert data.letters(X) == {HERE: "D", THERE: "D"}


def test_files_are_delivered_to_where_the_others_are(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.store(THERE, "there")
    data.have(X)
    data.ask(X, THERE)
    data.ask(X, HERE)
    data.copy(X, HERE)
    data.submit(0, adds=[X])
    pilot.claim(1)
    assert data.deliver(pilot, 0, X, THERE, ("0", 10)) == data_ops.DeliveryAnswer("elsewhere", HERE)
    assert data.deliver(pilot, 0, X, HERE, ("0", 10)).verdict == "delivered"
    assert data.letters(X) == {THERE: "P", HERE: "D"}


@pytest.mark.parametrize("ends_first", [False, True])
def test_a_copy_that_is_made_while_files_are_delivered_gets_them_too(
    data: ScriptedInputs, pilot: ScriptedPilot, ends_first: bool
) -> None:
    data.store(THERE, "there")
    data.have(X, HERE)
    data.ask(X, THERE)
    data.claim(X, THERE)
    data.submit(0, adds=[X])
    pilot.claim(1)
    assert data.deliver(pilot, 0, X, HERE, ("0", 10)).verdict == "delivered"
    assert data.letters(X) == {HERE: "D", THERE: "R"}
    if ends_first:
        pilot.report((0, 1, "D"))
    assert data.settle(X, THERE, "D", 100) == 1
    assert (data.letters(X), data.used(THERE)) == ({HERE: "D", THERE: "P"}, 100)
    if not ends_first:
        pilot.report((0, 1, "D"))
    assert data.asked() == [(X, THERE)]
    data.claim(X, THERE, 110)
    assert data.settle(X, THERE, "D", 110) == 1
    assert (data.letters(X), data.used(THERE)) == ({HERE: "D", THERE: "D"}, 110)


def test_as_many_replicas_as_are_asked_for_follow_the_last_producer(
    data: ScriptedInputs, pilot: ScriptedPilot
) -> None:
    data.store("pd-small", limit=1000)
    data.store("pd-tiny", limit=1)
    data.store("pd-others", service="pds-others")
    data.make(X, replicas=2)
    data.make(Y, replicas=5)
    data.submit(0, adds=[X, Y])
    pilot.claim(1)
    for name in (X, Y):
        assert data.deliver(pilot, 0, name, HERE, ("a", 10)).verdict == "delivered"
    pilot.report((0, 1, "D"))
    assert data.asked() == [(X, "pd-small"), (Y, "pd-small")]
    assert data.read(X).state == "Pending"
    data.copy(X, "pd-small")
    assert data.read(X).state == "Running"


def test_a_delivery_of_a_forgotten_claim_is_taken(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X)
    data.submit(0, adds=[X])
    assert data.deliver(pilot, 0, X, HERE, ("a", 1), attempt=1).verdict == "delivered"
    assert pilot.report((0, 1, "D")) == "1"


def test_late_ends_count_while_it_waits(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.have(X, HERE)
    data.make(Y)
    data.submit(0, reads=[X], adds=[Y])
    pilot.claim(1)
    pilot.report((0, 1, "R"))
    data.session.pass_lease(pilot)
    data.session.sweep()
    assert data.session.letters(0) == "W"
    assert pilot.report((0, 1, "D")) == "1"
    assert data.read(Y).producers == 0


def test_units_without_data_cost_no_look_ups_of_it(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X, Y)
    data.submit(0, adds=[X])
    data.submit(1, reads=[X], adds=[Y])
    pilot.claim(1)

    def calls() -> int:
        return sum(
            command["calls"]
            for name, command in data.session.client.info("commandstats").items()
            if name in {"cmdstat_hget", "cmdstat_hmget"}
        )

    costs = []
    for first, count in ((10, 1), (20, 7)):
        numbers = range(first, first + count)
        before = calls()
        data.session.submit(*numbers)
        assert pilot.claim(count) == [*numbers]
        assert pilot.report(*((number, 1, "D") for number in numbers)) == "1" * count
        costs.append(calls() - before)
    assert costs[0] == costs[1]


def test_full_servers_let_deliveries_pass(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.make(X)
    data.submit(0, adds=[X])
    data.submit(1, reads=[X])
    pilot.claim(1)
    client = data.session.client
    client.config_set("maxmemory", "1mb")
    data.fill(pilot, 0, X, HERE)
    assert data.read(X).files == 1
    client.config_set("maxmemory", "0")
    assert data.session.letters(1) == "N"


def test_what_is_said_again_to_a_server_that_comes_back(data: ScriptedInputs, pilot: ScriptedPilot) -> None:
    data.have(X, HERE)
    data.make(Y)

    def submit() -> None:
        data.submit(0, reads=[X], adds=[Y])
        data.submit(1, reads=[Y])

    submit()
    pilot.claim(1)
    data.session.restart_server("second")
    submit()
    assert data.session.letters(0, 1) == "AW"
    assert data.read(Y).producers == 1
    pilot.sync((0, 1))
    data.fill(pilot, 0, Y, HERE)
    assert data.session.letters(0, 1) == "DN"
