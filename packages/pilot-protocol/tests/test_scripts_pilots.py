"""How pilots come, live and end; what becomes of what they had; whom they serve."""

from __future__ import annotations

from typing import Any

import pytest

from pilot_protocol import pilot_ops, reads
from pilot_protocol.operation import FencedError, PilotEndedError
from scripted_session import LEASE_MS, OWNER, SERVICE, ScriptedPilot, ScriptedSession, queue

SAYINGS = {
    "register": lambda pilot: pilot.register("another start"),
    "sync": ScriptedPilot.sync,
    "claim": lambda pilot: pilot.claim(1),
    "beat": ScriptedPilot.beat,
}


def order(session: ScriptedSession, pilot: ScriptedPilot, text: bytes) -> int:
    """Leave an order for a pilot."""
    return session.run(pilot_ops.control(session.keys, pilot.name, text))


def test_states_and_events(session: ScriptedSession) -> None:
    pilot = ScriptedPilot(session, "p-aaaaaaaa", 4, {})
    assert pilot.state() == "Pending"
    pilot.register()
    assert pilot.state() == "Running"
    assert (pilot.end("Canceled"), pilot.end("Failed")) == (1, 0)
    assert pilot.state() == "Canceled"
    told = [state for event in session.events() for name, state in event.pilots if name == pilot.name]
    assert told == ["Pending", "Running", "Canceled"]
    assert session.link.query(reads.pilots(session.keys)) == {pilot.name: SERVICE}


def test_announced_again_it_stays_as_it_is(session: ScriptedSession) -> None:
    pilot = session.pilot()
    session.run(pilot_ops.create_pilot(session.keys, pilot.name, "pcs-other", b"other"))
    record = session.link.query(reads.pilot(session.keys, pilot.name))
    assert (record["state"], record["service"], record["description"]) == (
        b"Running",
        SERVICE.encode(),
        b"description",
    )


def test_the_handle_of_its_placeholder_is_kept_also_before_the_pilot_is_announced_again(
    session: ScriptedSession,
) -> None:
    def handle(name: str) -> bytes | None:
        return session.link.query(reads.pilot(session.keys, name)).get("placeholder")

    pilot = session.pilot()
    assert handle(pilot.name) is None
    for text in (b"first", b"second \xff"):
        assert session.run(pilot_ops.note_placeholder(session.keys, pilot.name, text)) == 1
        assert handle(pilot.name) == text
    session.run(pilot_ops.note_placeholder(session.keys, "p-forgotten", b"handle"))
    session.run(pilot_ops.create_pilot(session.keys, "p-forgotten", SERVICE, b"description"))
    assert handle("p-forgotten") == b"handle"


def test_the_epoch_only_grows(session: ScriptedSession) -> None:
    pilot = session.pilot()
    epochs = [pilot.epoch]
    for start in range(20):
        epochs.append(pilot.register(f"start {start}").epoch)
        assert pilot.register(f"start {start}").epoch == epochs[-1]
    pilot.end()
    epochs.append(session.link.query(reads.pilot(session.keys, pilot.name))["epoch"].decode())
    assert [int(epoch) for epoch in epochs] == sorted({int(epoch) for epoch in epochs})


@pytest.mark.parametrize("say", [SAYINGS[name] for name in ("sync", "claim", "beat")])
def test_an_older_epoch_is_fenced(session: ScriptedSession, say: Any) -> None:
    pilot = session.pilot()
    old = pilot.epoch
    pilot.register("second start")
    pilot.epoch = old
    with pytest.raises(FencedError):
        say(pilot)
    with pytest.raises(FencedError):
        pilot.end()
    assert pilot.state() == "Running"


@pytest.mark.parametrize("say", SAYINGS.values(), ids=SAYINGS.keys())
@pytest.mark.parametrize("state", ["Done", "Failed", "Canceled"])
def test_an_ended_pilot_is_told_so(session: ScriptedSession, say: Any, state: str) -> None:
    pilot = session.pilot()
    pilot.end(state)
    with pytest.raises(PilotEndedError, match=state):
        say(pilot)


def test_ended_before_it_came_it_may_not_come(session: ScriptedSession) -> None:
    pilot = ScriptedPilot(session, "p-aaaaaaaa", 4, {})
    assert pilot.end("Canceled") == 1
    with pytest.raises(PilotEndedError):
        pilot.register()


def test_a_beat_renews_the_lease_and_the_record(session: ScriptedSession) -> None:
    pilot = session.pilot()
    session.pass_lease(pilot)
    assert not pilot.beat().must_sync
    assert session.sweep() == 0
    assert session.link.query(reads.pilot(session.keys, pilot.name))["free_cores"] == b"1"


def test_orders_come_until_they_were_seen(session: ScriptedSession) -> None:
    pilot = session.pilot()
    assert [order(session, pilot, text) for text in (b"one", b"two words", b"\xff\x00")] == [1, 1, 1]
    assert pilot.bells() == [b"control"]
    controls = pilot.beat().controls
    assert [text for _, text in controls] == [b"one", b"two words", b"\xff\x00"]
    assert [number for number, _ in controls] == sorted({number for number, _ in controls})
    pilot.seen = controls[1][0]
    assert pilot.beat().controls == controls[2:]
    assert pilot.ask(0).controls == controls[2:]
    pilot.seen = controls[2][0]
    assert pilot.beat().controls == ()
    order(session, pilot, b"three")
    assert [text for _, text in pilot.beat().controls] == [b"three"]


def test_a_reply_brings_the_next_500_orders_and_those_seen_are_gone(session: ScriptedSession) -> None:
    pilot = session.pilot()
    for number in range(1100):
        order(session, pilot, b"%d" % number)
    heard: list[bytes] = []
    while controls := pilot.beat().controls:
        heard += [text for _, text in controls]
        assert len(controls) == min(500, 1100 - len(heard) + len(controls))
        pilot.seen = controls[-1][0]
    assert heard == [b"%d" % number for number in range(1100)]
    assert not session.client.exists(session.keys.named(f"control:{pilot.name}"))


def test_many_orders_do_not_run_ahead_of_the_clock_that_a_server_comes_back_with(
    session: ScriptedSession,
) -> None:
    session.submit(*range(2000))
    pilot = session.pilot(cores=1000)
    pilot.claim(1000)
    session.cancel(*range(1000))
    last = int(session.client.hget(session.keys.pilot(pilot.name), "control_sequence"))
    seconds, microseconds = session.client.time()
    assert last <= seconds * 1_000_000 + microseconds


def test_an_order_waits_for_a_pilot_that_has_not_come(session: ScriptedSession) -> None:
    pilot = ScriptedPilot(session, "p-aaaaaaaa", 4, {})
    assert order(session, pilot, b"stop") == 1
    pilot.register()
    assert [text for _, text in pilot.beat().controls] == [b"stop"]
    pilot.end()
    assert order(session, pilot, b"stop") == 0


def test_two_sweepers_lose_a_pilot_once(session: ScriptedSession) -> None:
    pilot, other = session.pilot(), session.pilot("p-bbbbbbbb")
    session.submit(*range(4), max_restarts=1)
    pilot.claim(3)
    pilot.report((1, 1, "R"))
    session.pass_lease(pilot)
    assert (session.sweep(), session.sweep()) == (1, 0)
    other.beat()
    assert (pilot.state(), session.letters(0, 1, 2, 3)) == ("Failed", "NNNN")
    assert [session.record(number).restarts_left for number in range(4)] == [1, 0, 1, 1]
    assert other.claim(4) == [0, 1, 2, 3]


def test_a_beat_of_another_sweeps(session: ScriptedSession) -> None:
    pilot, other = session.pilot(), session.pilot("p-bbbbbbbb")
    session.pass_lease(pilot)
    other.beat()
    assert pilot.state() == "Failed"


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_lost_run_is_repeated_as_often_as_allowed(session: ScriptedSession, allowed: int) -> None:
    session.submit(0, max_restarts=allowed)
    for attempt in range(1, allowed + 2):
        pilot = session.pilot(f"p-aaaaaaa{attempt}")
        assert pilot.claim(1) == [0]
        pilot.report((0, attempt, "R"))
        session.pass_lease(pilot)
        session.sweep()
    assert (session.letters(0), session.reason(0)) == ("F", "lost")


def test_what_never_started_goes_back_free(session: ScriptedSession) -> None:
    session.submit(0, 1, max_restarts=0)
    pilot, other = session.pilot(), session.pilot("p-bbbbbbbb")
    pilot.claim(2)
    pilot.report((1, 1, "S"))
    pilot.end()
    assert other.claim(2) == [0, 1]


def test_more_than_one_script_may_take(session: ScriptedSession) -> None:
    for first in range(0, 9_000, 500):
        session.submit(*range(first, first + 500))
    pilots = [session.pilot(f"p-aaaaaaa{number}") for number in range(3)]
    for pilot in pilots:
        assert sum(len(pilot.claim(1_000)) for _ in range(3)) == 3_000
        session.pass_lease(pilot)
    assert session.sweep() == 2
    assert session.events()[-1].has_more
    assert session.sweep() == 1
    assert not session.events()[-1].has_more
    assert len(session.pilot("p-bbbbbbbb").claim(1_000)) == 1_000


@pytest.mark.parametrize(
    ("state", "letter", "reason"),
    [("Failed", "F", "lost"), ("Canceled", "C", "canceled"), ("Done", "C", "canceled")],
)
def test_what_waits_for_an_ended_pilot_alone_ends(
    session: ScriptedSession, state: str, letter: str, reason: str
) -> None:
    pilot = session.pilot()
    session.submit(0, 1, into=queue(owner=pilot.name))
    session.submit(2, into=queue(2, owner=pilot.name))
    session.submit(3, into=queue(owner=pilot.name), after=(2,), run_after_failure=True)
    session.submit(4)
    pilot.claim(1)
    assert pilot.end(state) == 1
    assert session.letters(0, 1, 2, 3, 4) == letter * 4 + "N"
    assert {session.reason(number) for number in range(4)} == {reason}


def test_attached_services_are_served_detached_ones_not(session: ScriptedSession) -> None:
    other = "cds-bbbbbbbb"
    pilot = session.pilot()
    session.submit(0, 1, into=queue(owner=other))
    assert pilot.claim(1) == []
    assert session.run(pilot_ops.attach(session.keys, SERVICE, other)) == (OWNER, other)
    assert session.run(pilot_ops.attach(session.keys, SERVICE, other)) == (OWNER, other)
    assert pilot.answer_bell() == [b"work"]
    assert pilot.claim(1) == [0]
    assert session.run(pilot_ops.attach(session.keys, SERVICE, other, attached=False)) == (OWNER,)
    assert session.link.query(reads.attachments(session.keys)) == {SERVICE: (OWNER,)}
    assert pilot.claim(1) == []
    assert pilot.report((0, 1, "D")) == "1"


def test_what_has_ended_is_not_rung(session: ScriptedSession) -> None:
    pilot = session.pilot()
    pilot.claim(1)
    pilot.end()
    session.submit(0)
    assert pilot.bells() == []


def test_leases_are_counted_by_the_server(session: ScriptedSession) -> None:
    reply = ScriptedPilot(session, "p-aaaaaaaa", 4, {}).register()
    deadline = session.client.zscore(session.keys.named("leases"), "p-aaaaaaaa")
    assert deadline == reply.server_ms + LEASE_MS
    assert reply.protocol == "1.0"
