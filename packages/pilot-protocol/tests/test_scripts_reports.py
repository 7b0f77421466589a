"""What reports do to units, and what is answered to those that come twice, late or from nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from pilot_protocol import reads
from scripted_session import ScriptedPilot, ScriptedSession, unit_id


def running(session: ScriptedSession, **wishes: Any) -> ScriptedPilot:
    """Return a pilot that runs unit 0."""
    session.submit(0, **wishes)
    pilot = session.pilot()
    pilot.claim(1)
    assert pilot.report((0, 1, "R")) == "1"
    return pilot


@pytest.mark.parametrize(
    ("letters", "digits", "state"),
    [
        ("SRD", "111", "D"),
        ("SSRRSDD", "1212212", "D"),
        ("D", "1", "D"),
        ("DF", "12", "D"),
        ("RF", "11", "F"),
        ("RC", "11", "C"),
        ("RE", "11", "F"),
        ("E", "1", "F"),
        ("RU", "11", "N"),
        ("RUD", "110", "N"),
        ("RL", "11", "N"),
        ("RLD", "110", "N"),
        ("X", "0", "A"),
        ("N", "0", "A"),
    ],
)
def test_letters_in_a_row(session: ScriptedSession, letters: str, digits: str, state: str) -> None:
    session.submit(0)
    pilot = session.pilot()
    pilot.claim(1)
    assert "".join(pilot.report((0, 1, letter)) for letter in letters) == digits
    assert session.letters(0) == state


def test_several_at_once_in_the_order_said(session: ScriptedSession) -> None:
    session.submit(*range(4))
    pilot = session.pilot()
    pilot.claim(3)
    assert (
        pilot.report((0, 1, "R"), (0, 1, "D"), (1, 1, "D"), (1, 1, "D"), (9, 1, "D"), (2, 0, "D"), (2, 1, ""))
        == "1112300"
    )
    assert session.letters(0, 1, 2, 3) == "DDAN"


@pytest.mark.parametrize(
    ("said", "told"), [("D", b"sealed"), ("F", b"sealed"), ("E", b"sealed"), ("U", None)]
)
def test_results_are_kept_of_ended_units(session: ScriptedSession, said: str, told: bytes | None) -> None:
    pilot = running(session)
    pilot.report((0, 1, said), result=b"sealed")
    pilot.report((0, 1, said), result=b"another")
    assert session.link.query(reads.results(session.keys, [unit_id(0)])) == [told]


@pytest.mark.parametrize("letter", "DFC")
def test_an_end_is_final(session: ScriptedSession, letter: str) -> None:
    session.submit(0, retries=3)
    pilot = session.pilot()
    pilot.claim(1)
    pilot.report((0, 1, letter), result=b"first")
    assert pilot.report(*((0, 1, later) for later in "SRDFCELU"), result=b"second") == "22222222"
    assert session.letters(0) == letter
    assert session.link.query(reads.results(session.keys, [unit_id(0)])) == [b"first"]


@pytest.mark.parametrize("allowed", [0, 1, 3])
@pytest.mark.parametrize(("letter", "wish"), [("E", "retries"), ("L", "max_restarts")])
def test_it_is_tried_again_as_often_as_allowed(
    session: ScriptedSession, letter: str, wish: str, allowed: int
) -> None:
    wishes: dict[str, Any] = {"retries": 0, "max_restarts": 0, wish: allowed}
    session.submit(0, **wishes)
    pilot = session.pilot()
    for attempt in range(1, allowed + 2):
        assert session.letters(0) == "N"
        assert pilot.claim(1) == [0]
        assert pilot.report((0, attempt, "R"), (0, attempt, letter)) == "11"
        pilot.report((0, attempt, letter))  # told twice, it costs once
        record = session.record(0)
        assert max(record.retries_left, record.restarts_left) == max(0, allowed - attempt)
    assert session.letters(0) == "F"
    assert pilot.claim(1) == []


def test_retries_that_were_asked_for_are_not_poison(session: ScriptedSession) -> None:
    session.submit(0, retries=120)
    pilot = session.pilot()
    for attempt in range(1, 111):
        pilot.claim(1)
        pilot.report((0, attempt, "E"))
    assert session.letters(0) == "N"


@pytest.mark.parametrize("letter", "EU")
def test_what_comes_back_goes_first_and_keeps_its_order(session: ScriptedSession, letter: str) -> None:
    session.submit(0, 1, 2, 3, retries=1)
    pilot = session.pilot()
    pilot.claim(2)
    assert pilot.report((0, 1, letter), (1, 1, letter)) == "11"
    assert pilot.claim(4) == [0, 1, 2, 3]


def test_handing_back_costs_nothing_until_it_is_poison(session: ScriptedSession) -> None:
    session.submit(0, max_restarts=0)
    pilot = session.pilot()
    for attempt in range(1, 101):
        assert pilot.claim(1) == [0]
        assert pilot.report((0, attempt, "U")) == "1"
    assert (session.letters(0), session.reason(0)) == ("F", "poison")


def test_a_stranger_changes_nothing(session: ScriptedSession) -> None:
    running(session)
    other = session.pilot("p-bbbbbbbb")
    assert other.report((0, 1, "D"), (0, 0, "D")) == "00"
    assert session.letters(0) == "R"


def test_an_older_attempt_changes_nothing(session: ScriptedSession) -> None:
    pilot = running(session)
    pilot.report((0, 1, "U"))
    pilot.claim(1)
    assert pilot.report((0, 1, "D"), (0, 1, "U"), (0, 1, "R")) == "000"
    assert pilot.report((0, 2, "D"), (0, 1, "F")) == "10"
    assert session.letters(0) == "D"


@pytest.mark.parametrize(
    ("letter", "retries", "digit", "state"),
    [
        ("D", 0, "1", "D"),
        ("F", 0, "1", "F"),
        ("E", 0, "1", "F"),
        ("E", 1, "2", "N"),
        ("R", 0, "0", "N"),
        ("U", 0, "0", "N"),
    ],
)
def test_a_late_result_counts_if_nobody_has_started_again(
    session: ScriptedSession, letter: str, retries: int, digit: str, state: str
) -> None:
    pilot = running(session, retries=retries)
    session.pass_lease(pilot)
    assert session.sweep() == 1
    reply = pilot.report_all([(0, 1, letter)])
    assert (reply.outcomes, reply.current) == (digit, False)
    assert session.letters(0) == state


def test_a_late_result_is_stale_once_another_has_started(session: ScriptedSession) -> None:
    pilot = running(session)
    session.pass_lease(pilot)
    session.sweep()
    other = session.pilot("p-bbbbbbbb")
    assert other.claim(1) == [0]
    assert pilot.report((0, 1, "D")) == "0"
    assert other.report((0, 2, "D")) == "1"


def test_an_agent_that_was_replaced_is_told(session: ScriptedSession) -> None:
    pilot = running(session)
    old = pilot.epoch
    pilot.register("second start")
    new, pilot.epoch = pilot.epoch, old
    reply = pilot.report_all([(0, 1, "D")])
    assert (reply.current, reply.outcomes, session.letters(0)) == (False, "0", "R")
    pilot.epoch = new
    assert pilot.report((0, 1, "D")) == "1"


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


def test_nothing_to_say_is_fine(session: ScriptedSession) -> None:
    assert session.pilot().report_all([]).outcomes == ""


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
