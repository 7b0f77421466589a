"""Submission, claims, reports and cancellation of units, each of which may be said twice."""

from __future__ import annotations

import pytest

from pilot_protocol import reads, unit_ops
from pilot_protocol.operation import BATCH, Operation, PilotEndedError
from scripted_session import GROUP, OWNER, ScriptedSession, queue, unit_id

# --- submission


def test_a_submission_said_twice_adds_nothing(session: ScriptedSession) -> None:
    assert session.submit(0, 1, 2).added == 3
    assert session.submit(0, 1, 2, 3).added == 1
    assert session.pilot().claim(9) == [0, 1, 2, 3]


def test_a_unit_that_exists_stays_as_it_is(session: ScriptedSession) -> None:
    session.submit(0, into=queue(2))
    session.submit(0, into=queue(1), retries=5)
    assert session.record(0).queue == queue(2)
    assert session.record(0).retries_left == 0


def test_templates_and_groups_are_kept(session: ScriptedSession) -> None:
    units = [unit_ops.NewUnit(unit_id(0), queue(), b"d")]
    for content in (b"sealed", b"other"):
        session.run(unit_ops.submit(session.keys, GROUP, OWNER, units, {"digest": content}))
    assert session.link.query(reads.templates(session.keys, ["digest", "none"])) == [b"sealed", None]
    assert session.link.query(reads.groups(session.keys)) == {GROUP: OWNER}


def test_a_large_batch_is_one_step(session: ScriptedSession) -> None:
    assert session.submit(*range(BATCH)).added == BATCH
    pilot = session.pilot(cores=BATCH)
    assert pilot.claim(BATCH) == list(range(BATCH))
    assert pilot.report(*((number, 1, "D") for number in range(BATCH))) == "1" * BATCH


def test_a_batch_beyond_the_limits_of_lua_still_works(session: ScriptedSession) -> None:
    many = range(9000)
    assert session.submit(*many).added == 9000
    assert session.submit(*range(9000, 18000), after=[20000]).refused[-1] == unit_id(17999)
    pilot = session.pilot(cores=9000)
    assert len(pilot.claim(9000)) == 1000  # clamped: the agent asks again
    assert pilot.report(*((number, 1, "D") for number in many)) == "1" * 9000
    assert session.cancel(*many) == "2" * 9000


@pytest.mark.parametrize("header", ["", "queue", f"{queue()}|x|3|", f"{queue()}|1", "cds-aaaaaaaa/none|0|0|"])
def test_a_unit_that_cannot_be_queued_is_refused_alone(session: ScriptedSession, header: str) -> None:
    good = unit_ops.submit(session.keys, GROUP, OWNER, [unit_ops.NewUnit(unit_id(0), queue(), b"d")], {})
    arguments = [*good.arguments, unit_id(1), header, b"d"]
    reply = session.run(Operation(good.script, good.prefix, arguments, good.parse))
    assert reply == unit_ops.Submitted(1, (unit_id(1),))


def test_a_queue_of_another_owner_is_refused(session: ScriptedSession) -> None:
    unit = unit_ops.NewUnit(unit_id(0), queue(owner="cds-bbbbbbbb"), b"d")
    assert session.run(unit_ops.submit(session.keys, GROUP, OWNER, [unit], {})).refused == (unit_id(0),)


def test_an_ended_pilot_takes_no_units_of_its_own(session: ScriptedSession) -> None:
    pilot = session.pilot()
    mine = queue(owner=pilot.name)
    session.submit(0, into=mine)
    pilot.end()
    with pytest.raises(PilotEndedError, match="is Done"):
        session.submit(1, into=mine)
    assert (
        session.submit(0, into=mine).added == 0
    )  # the same answer as the first time: the reply may have been lost


# --- claims


def test_a_repeated_claim_returns_the_same_units(session: ScriptedSession) -> None:
    session.submit(0, 1, 2)
    pilot = session.pilot()
    first = pilot.ask(2)
    assert pilot.ask(2, again=True).units == first.units
    assert [unit.attempt for unit in first.units] == [1, 1]
    assert [unit.description for unit in first.units] == [b"description 0", b"description 1"]
    assert pilot.claim(2) == [2]


def test_a_repeated_claim_leaves_out_what_was_reported_since(session: ScriptedSession) -> None:
    session.submit(0, 1)
    pilot = session.pilot()
    pilot.claim(2)
    pilot.report((0, 1, "D"))
    assert pilot.claim(2, again=True) == [1]


def test_priority_goes_first_then_order_of_submission(session: ScriptedSession) -> None:
    session.submit(0, into=queue(1))
    session.submit(1, into=queue(2))
    session.submit(2, into=queue(1))
    session.submit(3, into=queue(2, priority=-1))
    session.submit(4, into=queue(2, priority=5))
    assert session.pilot(cores=8).claim(5, cores=8) == [4, 0, 1, 2, 3]


def test_owners_share_a_pilot_in_order_of_submission(session: ScriptedSession) -> None:
    pilot = session.pilot()
    for number in range(4):
        session.submit(number, into=queue(owner=(OWNER, pilot.name)[number % 2]))
    assert pilot.claim(4) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("into", "expected"),
    [
        (queue(5), []),
        (queue(2), [0]),
        (queue(3), []),
        (queue(gpus=1), []),
        (f"{OWNER}/,/4.2.0.0/0", [0]),
        (f"{OWNER}/,/4.3.0.0/0", []),
        (f"{OWNER}/,/1.1.0.1000/0", [0]),
        (f"{OWNER}/,/1.1.0.1001/0", []),
    ],
)
def test_a_pilot_gets_only_what_it_can_run(session: ScriptedSession, into: str, expected: list[int]) -> None:
    session.submit(0, into=into)
    assert session.pilot(cores=4, node_cores=2, memory_mb=1000).claim(1, cores=4) == expected


def test_a_large_unit_does_not_block_small_ones(session: ScriptedSession) -> None:
    session.submit(0, into=queue(4))
    session.submit(1, 2, 3)
    assert session.pilot(cores=4).claim(9, cores=2) == [1, 2]


def test_one_unit_larger_than_the_room_may_be_reserved(session: ScriptedSession) -> None:
    session.submit(0, 1, into=queue(4))
    session.submit(2, 3)
    assert session.pilot(cores=4).claim(9, cores=1, reserve=True) == [0, 2]


def test_who_asks_for_nothing_gets_nothing(session: ScriptedSession) -> None:
    session.submit(0)
    pilot = session.pilot()
    assert pilot.claim(0) == []
    assert pilot.claim(1, cores=0, reserve=True) == []


def test_a_wish_for_a_place_yields_when_nobody_there_could_run_the_unit(session: ScriptedSession) -> None:
    here, there = (
        session.pilot("p-here", cores=2, label=",here"),
        session.pilot("p-there", cores=1, label=",there"),
    )
    session.submit(0, into=queue(2, label="there"))
    session.submit(1, into=queue(1, label="there"))
    assert here.claim(2) == [0]
    assert there.claim(2) == [1]
    there.report((1, 1, "U"))
    there.end()
    assert here.claim(2) == [1]


def test_a_wish_does_not_wait_for_a_pilot_of_others(session: ScriptedSession) -> None:
    session.pilot("p-there", label=",there", service="pcs-other")
    session.submit(0, into=queue(label="there"))
    assert session.pilot("p-here", label=",here").claim(1) == [0]


def test_datacenter_and_machine_are_wished_for_together(session: ScriptedSession) -> None:
    session.submit(0, into=f"{OWNER}/a,/1.1.0.0/0")
    session.submit(1, into=f"{OWNER}/a,b/1.1.0.0/0")
    near, next_to = session.pilot("p-near", label="a,c"), session.pilot("p-next", label="a,b")
    assert near.claim(2) == [0]
    assert next_to.claim(2) == [1]


# --- reports


def test_a_unit_goes_its_way_and_every_report_may_be_repeated(session: ScriptedSession) -> None:
    session.submit(0)
    pilot = session.pilot()
    pilot.claim(1)
    for letter in "SRD":
        assert pilot.report((0, 1, letter)) == "1"
        assert pilot.report((0, 1, letter)) == "2"
        assert session.letters(0) == letter
    assert session.link.query(reads.results(session.keys, [unit_id(0)])) == [b"result"]


@pytest.mark.parametrize("letter", "DFC")
def test_an_end_is_final(session: ScriptedSession, letter: str) -> None:
    session.submit(0, retries=3)
    pilot = session.pilot()
    pilot.claim(1)
    pilot.report((0, 1, letter), result=b"first")
    assert pilot.report(*((0, 1, later) for later in "SRDFCELU"), result=b"second") == "22222222"
    assert session.letters(0) == letter
    assert session.link.query(reads.results(session.keys, [unit_id(0)])) == [b"first"]


def test_a_failure_is_retried_as_often_as_asked_however_often_it_is_told(session: ScriptedSession) -> None:
    session.submit(0, retries=2)
    pilot = session.pilot()
    for attempt in (1, 2, 3):
        assert pilot.claim(1) == [0]
        assert pilot.report((0, attempt, "E")) == "1"
        pilot.report((0, attempt, "E"))
        assert session.record(0).retries_left == max(0, 2 - attempt)
    assert session.letters(0) == "F"


def test_a_unit_that_was_lost_while_running_is_restarted_as_often_as_allowed(
    session: ScriptedSession,
) -> None:
    session.submit(0, max_restarts=1)
    pilot = session.pilot()
    for attempt in (1, 2):
        pilot.claim(1)
        pilot.report((0, attempt, "R"))
        assert pilot.report((0, attempt, "L")) == "1"
        pilot.report((0, attempt, "L"))
    assert session.letters(0) == "F"


def test_what_never_started_goes_back_for_free_but_not_for_ever(session: ScriptedSession) -> None:
    session.submit(0, max_restarts=0)
    pilot = session.pilot()
    for attempt in range(1, 100):
        assert pilot.claim(1) == [0]
        assert pilot.report((0, attempt, "U")) == "1"
        assert session.letters(0) == "N"
    pilot.claim(1)
    pilot.report((0, 100, "U"))
    assert session.letters(0) == "F"
    assert session.reason(0) == "poison"


def test_retries_that_were_asked_for_are_not_poison(session: ScriptedSession) -> None:
    session.submit(0, retries=120)
    pilot = session.pilot()
    for attempt in range(1, 111):
        pilot.claim(1)
        pilot.report((0, attempt, "E"))
    assert session.letters(0) == "N"


def test_claims_in_vain_count_from_the_last_start_on(session: ScriptedSession) -> None:
    session.submit(0, retries=200)
    pilot = session.pilot()
    for attempt in range(1, 120):
        pilot.claim(1)
        pilot.report((0, attempt, "R" if attempt % 2 else "E"), (0, attempt, "E"))
    pilot.claim(1)
    pilot.report((0, 120, "U"))
    assert session.letters(0) == "N"
    assert session.client.hgetall(session.keys.named("vain_claims")) == {b"cu-abcdef-0": b"1"}
    pilot.claim(1)
    pilot.report((0, 121, "R"))
    assert not session.client.exists(session.keys.named("vain_claims"))


def test_what_an_agent_chooses_not_to_start_is_no_poison(session: ScriptedSession) -> None:
    session.submit(0, max_restarts=0)
    pilot = session.pilot()
    for attempt in range(1, 151):
        assert pilot.claim(1) == [0]
        assert pilot.report((0, attempt, "H")) == "1"
    assert session.letters(0) == "N"


def test_what_comes_back_goes_first_and_keeps_its_order(session: ScriptedSession) -> None:
    session.submit(*range(4))
    pilot = session.pilot()
    pilot.claim(2)
    pilot.report((0, 1, "U"), (1, 1, "U"))
    assert pilot.claim(4) == [0, 1, 2, 3]


def test_news_of_another_attempt_or_pilot_is_stale(session: ScriptedSession) -> None:
    session.submit(0)
    first, second = session.pilot("p-first"), session.pilot("p-second")
    first.claim(1)
    first.report((0, 1, "U"))
    second.claim(1)
    assert first.report((0, 1, "D")) == "0"
    assert second.report((0, 1, "D")) == "0"
    assert second.report((0, 2, "D")) == "1"


def test_unknown_units_and_letters_are_told(session: ScriptedSession) -> None:
    session.submit(0)
    pilot = session.pilot()
    pilot.claim(1)
    assert pilot.report((9, 1, "D"), (0, 1, "X"), (0, 1, ""), (0, 1, "N")) == "3000"
    assert session.letters(0) == "A"


# --- cancellation


def test_what_waits_is_canceled_at_once(session: ScriptedSession) -> None:
    session.submit(0, 1, 2)
    assert session.cancel(1, 1, 9) == "123"
    assert session.reason(1) == "canceled"
    assert session.pilot().claim(9) == [0, 2]


@pytest.mark.parametrize("letter", ["", "S", "R"])
def test_what_a_pilot_holds_is_asked_of_its_agent_once(session: ScriptedSession, letter: str) -> None:
    session.submit(0)
    pilot = session.pilot()
    pilot.claim(1)
    if letter:
        pilot.report((0, 1, letter))
    assert session.cancel(0) == "4"
    assert session.cancel(0) == "4"
    assert pilot.bells() == [b"control"]
    assert [order for _, order in pilot.beat().controls] == [b"cancel 0"]
    assert pilot.report((0, 1, "C")) == "1"
    assert session.cancel(0) == "2"


@pytest.mark.parametrize("letter", "UEL")
def test_a_canceled_unit_does_not_go_back_into_its_queue(session: ScriptedSession, letter: str) -> None:
    session.submit(0, retries=1)
    pilot = session.pilot()
    pilot.claim(1)
    pilot.report((0, 1, "R"))
    session.cancel(0)
    pilot.report((0, 1, letter))
    assert session.letters(0) == "C"
    assert session.reason(0) == "canceled"


def test_an_end_that_comes_before_the_cancellation_counts(session: ScriptedSession) -> None:
    session.submit(0)
    pilot = session.pilot()
    pilot.claim(1)
    session.cancel(0)
    assert pilot.report((0, 1, "D")) == "1"


# --- what readers see


def test_events_tell_what_changed_once_per_script(session: ScriptedSession) -> None:
    start = session.link.query(reads.last_event(session.keys))
    session.submit(0, 1)
    pilot = session.pilot()
    pilot.claim(2)
    pilot.report((0, 1, "R"), (1, 1, "D"))
    pilot.report((0, 1, "L"))
    pilot.end()
    told = session.link.query(reads.events(session.keys, start, 1))
    assert [(dict(event.units), list(event.pilots)) for event in told] == [
        ({}, [(pilot.name, "Pending")]),
        ({}, [(pilot.name, "Running")]),
        ({"R": [unit_id(0)], "D": [unit_id(1)]}, []),
        ({"N": [unit_id(0)]}, []),
        ({}, [(pilot.name, "Done")]),
    ]


def test_counts_say_how_many_units_of_a_group_have_each_state(session: ScriptedSession) -> None:
    session.submit(0, 1, 2)
    pilot = session.pilot()
    pilot.claim(2)
    pilot.report((0, 1, "D"))
    counts = session.link.query(reads.counts(session.keys))[GROUP]
    assert {letter: number for letter, number in counts.items() if number} == {"N": 1, "A": 1, "D": 1}
