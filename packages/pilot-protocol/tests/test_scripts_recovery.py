"""A server that comes back, as it was, as it was some time ago, or empty."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pilot_protocol import pilot_ops
from pilot_protocol.operation import BarrierError, FencedError, NoSessionError
from scripted_session import LEASE_MS, OWNER, SERVICE, ScriptedPilot, ScriptedSession, queue


@pytest.fixture
def roll_back(session: ScriptedSession) -> Callable[[], Callable[[], None]]:
    """Remember what the server has; what is returned brings it back to that, under a new run id."""
    client = session.client

    def remember() -> Callable[[], None]:
        names = client.keys("*")
        contents = {name: client.dump(name) or b"" for name in names}

        def bring_back() -> None:
            wait_a_millisecond(session)
            client.flushall()
            for name, content in contents.items():
                client.restore(name, LEASE_MS * 1000, content)
            client.expire(session.keys.named("meta"), LEASE_MS)
            session.restart_server("another run")

        return bring_back

    return remember


def wait_a_millisecond(session: ScriptedSession) -> None:
    """No server comes back within the one in which it went: epochs are its milliseconds, or the next one after the last."""
    first = milliseconds(session)
    while milliseconds(session) < first + 2:
        continue


def milliseconds(session: ScriptedSession) -> int:
    seconds, microseconds = session.client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def may_claim(pilot: ScriptedPilot) -> bool:
    """Tell whether the barrier is down."""
    try:
        pilot.ask(0)
    except BarrierError:
        return False
    return True


def test_nobody_claims_until_all_have_synced(session: ScriptedSession) -> None:
    pilot, other = session.pilot(), session.pilot("p-bbbbbbbb")
    session.restart_server("second")
    assert (may_claim(pilot), may_claim(other)) == (False, False)
    assert pilot.beat().must_sync
    pilot.sync()
    assert not pilot.beat().must_sync
    assert not may_claim(pilot)
    other.sync()
    assert (may_claim(pilot), may_claim(other)) == (True, True)


def test_nobody_claims_at_once_even_if_all_have_synced(session: ScriptedSession) -> None:
    pilot = session.pilot()
    session.restart_server("second", wait=True)
    pilot.sync()
    assert not may_claim(pilot)


def test_who_does_not_come_back_holds_nobody_up_longer_than_a_lease(session: ScriptedSession) -> None:
    pilot, lost = session.pilot(), session.pilot("p-bbbbbbbb")
    session.restart_server("second")
    pilot.sync()
    session.pass_lease(lost)
    assert session.sweep() == 0  # it may still be coming back
    session.client.hset(session.keys.named("meta"), "barrier", 1)
    assert may_claim(pilot)
    assert session.sweep() == 1
    assert lost.state() == "Failed"


def test_who_ends_is_not_waited_for(session: ScriptedSession) -> None:
    pilot, other = session.pilot(), session.pilot("p-bbbbbbbb")
    session.restart_server("second")
    pilot.sync()
    other.end()
    assert may_claim(pilot)


def test_leases_are_renewed_for_who_could_not_renew_them(session: ScriptedSession) -> None:
    pilot = session.pilot()
    session.pass_lease(pilot)
    session.restart_server("second")
    session.client.hset(session.keys.named("meta"), "barrier", 1)
    assert session.sweep() == 0
    assert pilot.state() == "Running"


@pytest.mark.parametrize("say", ["report", "sync"])
def test_a_forgotten_claim_is_written_again(
    session: ScriptedSession, roll_back: Callable[[], Callable[[], None]], say: str
) -> None:
    pilot, other = session.pilot(), session.pilot("p-bbbbbbbb")
    session.submit(0, 1)
    go_back = roll_back()
    assert pilot.claim(1) == [0]
    go_back()
    assert session.letters(0) == "N"
    if say == "report":
        assert pilot.report((0, 1, "R")) == "1"
    assert pilot.sync((0, 1)) == ()
    other.sync()
    assert other.claim(2) == [1]
    assert pilot.report((0, 1, "D"), (0, 1, "D")) == "12"


def test_a_forgotten_end_is_told_again(
    session: ScriptedSession, roll_back: Callable[[], Callable[[], None]]
) -> None:
    pilot = session.pilot()
    session.submit(0)
    session.submit(1, after=(0,))
    go_back = roll_back()
    pilot.claim(1)
    assert pilot.report((0, 1, "R"), (0, 1, "D")) == "11"
    go_back()
    assert session.letters(0, 1) == "NW"
    assert pilot.report((0, 1, "R"), (0, 1, "D")) == "11"
    assert session.letters(0, 1) == "DN"


def test_the_highest_attempt_wins(
    session: ScriptedSession, roll_back: Callable[[], Callable[[], None]]
) -> None:
    first, second = session.pilot(), session.pilot("p-bbbbbbbb")
    session.submit(0, retries=1)
    first.claim(1)
    first.report((0, 1, "R"))
    go_back = roll_back()
    first.report((0, 1, "E"))
    assert second.claim(1) == [0]
    go_back()
    assert session.record(0).pilot == first.name
    assert second.sync((0, 2)) == ()
    assert first.sync((0, 1)) == ("cu-abcdef-0",)
    assert (session.record(0).pilot, session.record(0).attempt) == (second.name, 2)
    assert first.report((0, 1, "D")) == "0"
    assert second.report((0, 2, "D")) == "1"


def test_a_forgotten_release_is_overtaken(
    session: ScriptedSession, roll_back: Callable[[], Callable[[], None]]
) -> None:
    pilot, other = session.pilot(), session.pilot("p-bbbbbbbb")
    session.submit(0)
    session.submit(1, after=(0,))
    pilot.claim(1)
    go_back = roll_back()
    pilot.report((0, 1, "D"))
    assert other.claim(1) == [1]
    go_back()
    assert other.report((1, 1, "D")) == "1"
    assert session.letters(0, 1) == "AD"
    assert pilot.report((0, 1, "D")) == "1"
    assert session.letters(0, 1) == "DD"


@pytest.mark.parametrize(
    ("state", "attempt", "dropped"),
    [("A", 1, False), ("A", 0, True), ("R", 1, False), ("D", 1, True), ("U", 1, True), ("A", 2, False)],
)
def test_what_must_be_dropped(session: ScriptedSession, state: str, attempt: int, dropped: bool) -> None:
    pilot = session.pilot()
    session.submit(0)
    pilot.claim(1)
    if state != "A":
        pilot.report((0, 1, state))
    assert pilot.sync((0, attempt)) == (("cu-abcdef-0",) if dropped else ())


def test_what_is_unknown_is_kept_until_its_client_brings_it_back(session: ScriptedSession) -> None:
    pilot = session.pilot()
    assert pilot.sync((0, 1)) == ()
    assert pilot.report((0, 1, "D")) == "3"
    session.submit(0)
    assert pilot.report((0, 1, "D")) == "1"
    assert session.letters(0) == "D"


def test_what_another_has_must_be_dropped(session: ScriptedSession) -> None:
    pilot, other = session.pilot(), session.pilot("p-bbbbbbbb")
    session.submit(0)
    other.claim(1)
    assert pilot.sync((0, 1)) == ("cu-abcdef-0",)
    assert session.record(0).pilot == other.name


def test_what_a_new_start_does_not_hold_goes_back(session: ScriptedSession) -> None:
    pilot = session.pilot()
    session.submit(*range(4), max_restarts=0)
    pilot.claim(4)
    pilot.report((1, 1, "R"), (2, 1, "R"))
    pilot.register("second start")
    assert pilot.sync((0, 1), (2, 1)) == ()
    assert session.letters(0, 1, 2, 3) == "AFRN"
    assert session.reason(1) == "lost"
    assert pilot.claim(4) == [3]


def test_the_epoch_grows_although_the_server_forgot_the_last(
    session: ScriptedSession, roll_back: Callable[[], Callable[[], None]]
) -> None:
    pilot = session.pilot()
    go_back = roll_back()
    forgotten = pilot.register("second start").epoch
    go_back()
    with pytest.raises(FencedError):
        pilot.beat()
    assert int(pilot.register("second start").epoch) > int(forgotten)


def test_an_empty_server_is_filled_again(session: ScriptedSession) -> None:
    pilot = session.pilot()
    session.submit(0, 1)
    pilot.claim(1)
    pilot.report((0, 1, "R"))
    session.client.flushall()
    with pytest.raises(NoSessionError):
        pilot.beat()
    session.run(pilot_ops.open_session(session.keys, "1.0", LEASE_MS, rebuilt=True))
    session.run(pilot_ops.attach(session.keys, SERVICE, OWNER))
    assert session.submit(0, 1).added == 2
    pilot.register()
    assert pilot.sync((0, 1)) == ()
    assert not may_claim(pilot)  # others may still come with what they hold
    assert pilot.report((0, 1, "R"), (0, 1, "D")) == "11"
    session.client.hset(session.keys.named("meta"), "barrier", 1)
    assert pilot.claim(2) == [1]


def test_a_forgotten_pilot_that_was_ended_may_not_come_back(session: ScriptedSession) -> None:
    how = pilot_ops.PilotEnd("Canceled", "asked")
    assert session.run(pilot_ops.end(session.keys, "p-aaaaaaaa", "", how)) == 1
    pilot = ScriptedPilot(session, "p-aaaaaaaa", 4, {})
    assert pilot.state() == "Canceled"
    assert session.run(pilot_ops.purge(session.keys)) > 1
    assert session.client.keys("*") == []


def test_a_pilot_may_hold_thousands(session: ScriptedSession) -> None:
    for first in range(0, 3_000, 500):
        session.submit(*range(first, first + 500))
    pilot = session.pilot()
    held = [(number, 1) for _ in range(3) for number in pilot.claim(1_000)]
    session.restart_server("second")
    assert pilot.sync(*held[:2_500]) == ()
    assert pilot.claim(1_000) == list(range(2_500, 3_000))
    assert pilot.report(*((number, 1, "D") for number, _ in held[:500])) == "1" * 500
    pilot.end()
    assert session.letters(0, 500, 2_999) == "DNN"


def test_units_in_queues_survive(session: ScriptedSession) -> None:
    pilot = session.pilot()
    session.submit(0, 1, into=queue(2))
    session.restart_server("second")
    pilot.sync()
    assert pilot.claim(4) == [0, 1]
