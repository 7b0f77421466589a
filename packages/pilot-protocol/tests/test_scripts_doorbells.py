"""No unit waits while a pilot sleeps that would take it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pilot_protocol import pilot_ops
from scripted_session import SERVICE, ScriptedPilot, ScriptedSession, ServerLink, queue
from session_invariants import check_session

WORK = b"work"


@pytest.fixture
def asleep(session: ScriptedSession) -> Iterator[ScriptedSession]:
    """A session at whose end every pilot sleeps whose bell does not ring."""
    yield session
    check_session(session, awake=())


def hungry(session: ScriptedSession, name: str, cores: int, **record: Any) -> ScriptedPilot:
    """Return a pilot that has found nothing for its cores."""
    pilot = session.pilot(name, cores=cores, **record)
    pilot.claim(cores)
    pilot.answer_bell()
    return pilot


def rung(*pilots: ScriptedPilot) -> list[bool]:
    """Tell whose bell rings for work."""
    return [WORK in pilot.bells() for pilot in pilots]


def test_who_found_nothing_is_rung_once(asleep: ScriptedSession) -> None:
    pilot = hungry(asleep, "p-aaaaaaaa", 4)
    assert rung(pilot) == [False]
    asleep.submit(0)
    asleep.submit(1)
    assert pilot.bells() == [WORK]
    assert pilot.claim(1) == [0]
    assert pilot.bells() == []
    assert pilot.claim(3) == [1]


def test_who_found_all_is_not_rung(asleep: ScriptedSession) -> None:
    pilot = asleep.pilot(cores=1)
    asleep.submit(0)
    assert pilot.claim(1) == [0]
    asleep.submit(1)
    assert rung(pilot) == [False]


def test_no_more_are_rung_than_are_fed_the_largest_first(asleep: ScriptedSession) -> None:
    small, large, middle = (hungry(asleep, f"p-{c}aaaaaaa", cores) for c, cores in zip("abc", (1, 8, 4)))
    asleep.submit(*range(10))
    assert rung(small, large, middle) == [False, True, True]
    asleep.submit(10, 11, 12, 13)
    assert rung(small, large, middle) == [True, True, True]


def test_a_small_one_is_not_rung_for_what_it_cannot_take(asleep: ScriptedSession) -> None:
    small, large = hungry(asleep, "p-aaaaaaaa", 1), hungry(asleep, "p-bbbbbbbb", 4)
    asleep.submit(0, into=queue(4))
    assert rung(small, large) == [False, True]


def test_what_the_large_one_leaves_rings_for_the_small_one(asleep: ScriptedSession) -> None:
    small, large = hungry(asleep, "p-aaaaaaaa", 1), hungry(asleep, "p-bbbbbbbb", 4)
    asleep.submit(0)
    asleep.submit(1, into=queue(4, priority=1))
    assert large.answer_bell() == [WORK]
    assert large.claim(4) == [1]
    assert rung(small) == [True]
    assert small.claim(1) == [0]


def test_who_is_rung_and_ends_leaves_the_bell_to_others(asleep: ScriptedSession) -> None:
    first, second = hungry(asleep, "p-aaaaaaaa", 4), hungry(asleep, "p-bbbbbbbb", 2)
    asleep.submit(0)
    assert rung(first, second) == [True, False]
    first.end()
    assert rung(second) == [True]


def test_who_is_rung_and_is_lost_leaves_the_bell_to_others(asleep: ScriptedSession) -> None:
    first, second = hungry(asleep, "p-aaaaaaaa", 4), hungry(asleep, "p-bbbbbbbb", 2)
    asleep.submit(0)
    asleep.pass_lease(first)
    assert rung(second) == [False]
    second.beat()
    assert rung(second) == [True]


def test_who_heard_the_bell_and_was_lost_leaves_the_units_to_others(asleep: ScriptedSession) -> None:
    first, second = hungry(asleep, "p-aaaaaaaa", 4), hungry(asleep, "p-bbbbbbbb", 2)
    asleep.submit(0, 1)
    first.answer_bell()
    assert first.claim(4) == [0, 1]
    asleep.pass_lease(first)
    asleep.sweep()
    assert rung(second) == [True]
    assert second.claim(2) == [0, 1]


def test_the_near_one_is_rung_until_it_is_gone(asleep: ScriptedSession) -> None:
    near, far = (
        hungry(asleep, "p-aaaaaaaa", 1, label=",here"),
        hungry(asleep, "p-bbbbbbbb", 4, label=",there"),
    )
    asleep.submit(0, into=queue(label="here"))
    assert rung(near, far) == [True, False]
    near.end()
    assert rung(far) == [True]


def test_direct_units_ring_for_their_pilot(asleep: ScriptedSession) -> None:
    pilot, other = hungry(asleep, "p-aaaaaaaa", 1), hungry(asleep, "p-bbbbbbbb", 4)
    asleep.submit(0, into=queue(owner=pilot.name))
    assert rung(pilot, other) == [True, False]


def test_who_is_detached_leaves_the_bell_to_others(asleep: ScriptedSession) -> None:
    first, second = hungry(asleep, "p-aaaaaaaa", 4), hungry(asleep, "p-bbbbbbbb", 2, service="pcs-bbbbbbbb")
    asleep.submit(0)
    asleep.run(pilot_ops.attach(asleep.keys, "pcs-bbbbbbbb", "cds-aaaaaaaa"))
    asleep.run(pilot_ops.attach(asleep.keys, SERVICE, "cds-aaaaaaaa", attached=False))
    assert rung(second) == [True]
    assert first.claim(4) == []
    assert second.claim(2) == [0]


@pytest.mark.parametrize("letter", ["U", "E", "L"])
def test_what_comes_back_rings(asleep: ScriptedSession, letter: str) -> None:
    asleep.submit(0, retries=1, max_restarts=1)
    pilot = asleep.pilot()
    pilot.claim(1)
    other = hungry(asleep, "p-bbbbbbbb", 1)
    pilot.report((0, 1, letter))
    assert rung(other) == [True]


def test_what_is_released_rings(asleep: ScriptedSession) -> None:
    asleep.submit(0)
    asleep.submit(1, after=(0,))
    pilot = asleep.pilot()
    pilot.claim(1)
    other = hungry(asleep, "p-bbbbbbbb", 1)
    pilot.report((0, 1, "D"))
    assert rung(other) == [True]


def test_what_a_new_start_gave_back_rings(asleep: ScriptedSession) -> None:
    asleep.submit(0)
    pilot = asleep.pilot()
    pilot.claim(1)
    other = hungry(asleep, "p-bbbbbbbb", 1)
    pilot.register("second start")
    pilot.sync()
    assert rung(other) == [True]


def test_who_reserves_is_rung_for_the_large(asleep: ScriptedSession) -> None:
    pilot = asleep.pilot(cores=8)
    pilot.claim(8, cores=2, reserve=True)
    asleep.submit(0, into=queue(8))
    assert rung(pilot) == [True]
    assert pilot.claim(8, cores=2, reserve=True) == [0]


def test_who_has_no_core_free_is_not_rung(asleep: ScriptedSession) -> None:
    pilot = hungry(asleep, "p-aaaaaaaa", 4)
    pilot.ask(0)
    asleep.submit(0)
    assert rung(pilot) == [False]


def test_a_lost_bell_is_rung_again_by_a_beat(asleep: ScriptedSession) -> None:
    pilot = hungry(asleep, "p-aaaaaaaa", 4)
    asleep.submit(0)
    assert pilot.answer_bell() == [WORK]
    pilot.claim(4, cores=0)
    pilot.claim(4)
    assert asleep.letters(0) == "A"


def test_a_bell_that_was_lost_on_its_way_rings_again_with_the_next_beat(asleep: ScriptedSession) -> None:
    pilot = hungry(asleep, "p-aaaaaaaa", 4)
    asleep.submit(0)
    assert pilot.answer_bell() == [WORK], "taken by a connection that nobody reads"
    pilot.beat()
    assert pilot.bells() == [WORK]
    assert pilot.claim(4) == [0]
    pilot.beat()
    assert pilot.bells() == []


def test_a_beat_rings_for_nothing_that_the_pilot_cannot_take(asleep: ScriptedSession) -> None:
    pilot = asleep.pilot("p-aaaaaaaa", cores=1)
    pilot.ask(0)
    asleep.submit(0, into=queue(4))
    asleep.submit(1, into=queue(owner="p-bbbbbbbb"))
    pilot.beat()
    assert pilot.bells() == []


def test_a_claim_that_met_too_many_canceled_units_goes_on(asleep: ScriptedSession) -> None:
    pilot = asleep.pilot()
    for first in range(0, 6_000, 500):
        asleep.submit(*range(first, first + 500))
        asleep.cancel(*range(first, first + 500))
    asleep.submit(6_000)
    assert pilot.claim(4) == []
    assert pilot.answer_bell() == [WORK]
    assert pilot.claim(4) == [6_000]


def test_a_blocked_agent_is_woken(asleep: ScriptedSession, link: ServerLink) -> None:
    pilot = hungry(asleep, "p-aaaaaaaa", 4)
    asleep.submit(0)
    assert link.client.blpop([asleep.keys.door(pilot.name)], 5) == (
        asleep.keys.door(pilot.name).encode(),
        WORK,
    )
    assert pilot.claim(4) == [0]
