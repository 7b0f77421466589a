"""Canceling in every state, and what follows when the agent that was asked is gone."""

from __future__ import annotations

from typing import Any

import pytest

from scripted_session import ScriptedPilot, ScriptedSession, queue


@pytest.mark.parametrize(
    ("said", "digit", "state"),
    [
        ("", "4", "A"),
        ("S", "4", "S"),
        ("R", "4", "R"),
        ("U", "1", "C"),
        ("D", "2", "D"),
        ("F", "2", "F"),
        ("C", "2", "C"),
    ],
)
def test_after_a_claim(session: ScriptedSession, said: str, digit: str, state: str) -> None:
    pilot = claimed(session)
    if said:
        pilot.report((0, 1, said))
    assert session.cancel(0) == digit
    assert session.letters(0) == state


def claimed(session: ScriptedSession, **wishes: Any) -> ScriptedPilot:
    """Return a pilot that has unit 0."""
    session.submit(0, **wishes)
    pilot = session.pilot()
    pilot.claim(1)
    return pilot


def test_before_a_claim(session: ScriptedSession) -> None:
    session.submit(0)
    session.submit(1, after=(0,))
    assert session.cancel(1, 0, 0, 9) == "1123"
    assert session.letters(0, 1) == "CC"
    assert [session.reason(0), session.reason(1)] == ["canceled", "canceled"]
    assert session.pilot().claim(2) == []


@pytest.mark.parametrize("said", ["", "S", "R"])
def test_the_agent_is_asked_once(session: ScriptedSession, said: str) -> None:
    pilot = claimed(session)
    if said:
        pilot.report((0, 1, said))
    assert [session.cancel(0), session.cancel(0)] == ["4", "4"]
    assert pilot.bells() == [b"control"]
    assert [order for _, order in pilot.beat().controls] == [b"cancel 0"]
    assert pilot.report((0, 1, "C")) == "1"
    assert session.letters(0) == "C"
    assert session.cancel(0) == "2"


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize(
    ("said", "state"), [("D", "D"), ("F", "F"), ("C", "C"), ("U", "C"), ("E", "C"), ("L", "C")]
)
def test_whichever_is_first(session: ScriptedSession, said: str, state: str, runs: bool) -> None:
    pilot = claimed(session, retries=1, max_restarts=1)
    if runs:
        pilot.report((0, 1, "R"))
    session.cancel(0)
    assert pilot.report((0, 1, said)) == "1"
    assert session.letters(0) == state
    assert session.reason(0) == ("canceled" if said in "UEL" else None)


@pytest.mark.parametrize("said", ["", "S", "R"])
@pytest.mark.parametrize("way", ["lost", "ended", "synced"])
def test_its_agent_is_gone_before_it_obeyed(session: ScriptedSession, said: str, way: str) -> None:
    pilot = claimed(session, max_restarts=1)
    if said:
        pilot.report((0, 1, said))
    session.cancel(0)
    if way == "lost":
        session.pass_lease(pilot)
        assert session.sweep() == 1
    elif way == "ended":
        pilot.end()
    else:
        pilot.register("second start")
        pilot.sync()
    assert (session.letters(0), session.reason(0)) == ("C", "canceled")


def test_one_that_must_not_run_again_is_canceled_and_not_lost(session: ScriptedSession) -> None:
    pilot = claimed(session, max_restarts=0)
    pilot.report((0, 1, "R"))
    session.cancel(0)
    pilot.end("Failed")
    assert (session.letters(0), session.reason(0)) == ("C", "canceled")


def test_one_that_its_agent_lost_and_must_not_run_again_is_canceled(session: ScriptedSession) -> None:
    pilot = claimed(session, max_restarts=0)
    pilot.report((0, 1, "R"))
    session.cancel(0)
    assert pilot.report((0, 1, "L")) == "1"
    assert (session.letters(0), session.reason(0)) == ("C", "canceled")


def test_successors_are_canceled_too_unless_they_run_anyway(session: ScriptedSession) -> None:
    session.submit(0)
    session.submit(1, after=(0,))
    session.submit(2, after=(0,), run_after_failure=True)
    session.cancel(0)
    assert session.letters(0, 1, 2) == "CCN"


def test_many_in_several_states(session: ScriptedSession) -> None:
    session.submit(*range(6))
    session.submit(6, 7, into=queue(4))
    pilot = session.pilot()
    pilot.claim(3)
    pilot.report((0, 1, "D"), (1, 1, "R"))
    assert session.cancel(*range(8)) == "24411111"
    assert session.letters(*range(8)) == "DRACCCCC"
    assert [order for _, order in pilot.beat().controls] == [b"cancel 1", b"cancel 2"]


def test_a_late_result_of_a_canceled_unit_is_stale(session: ScriptedSession) -> None:
    pilot = claimed(session)
    pilot.report((0, 1, "R"))
    session.pass_lease(pilot)
    session.sweep()
    assert session.cancel(0) == "1"
    assert pilot.report((0, 1, "D")) == "2"
    assert session.letters(0) == "C"


def test_nothing_to_cancel_is_fine(session: ScriptedSession) -> None:
    assert session.cancel() == ""
