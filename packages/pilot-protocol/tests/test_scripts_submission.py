"""What a submission adds, and what it refuses."""

from __future__ import annotations

import pytest

from pilot_protocol import pilot_ops, reads, unit_ops
from pilot_protocol.keys import Keys
from pilot_protocol.operation import NoSessionError, Operation, PilotEndedError
from scripted_session import GROUP, OWNER, ScriptedSession, ServerLink, queue, unit_id

DIRECT = "p-aaaaaaaa"


def test_said_again_it_adds_none(session: ScriptedSession) -> None:
    assert session.submit(0, 1).added == 2
    assert session.submit(0, 1).added == 0
    assert session.submit(1, 2).added == 1
    assert session.pilot().claim(4) == [0, 1, 2]


@pytest.mark.parametrize("letter", ["R", "D", "F", "C"])
def test_said_again_it_leaves_a_unit_as_it_is(session: ScriptedSession, letter: str) -> None:
    session.submit(0)
    pilot = session.pilot()
    pilot.claim(1)
    pilot.report((0, 1, letter))
    assert session.submit(0).added == 0
    assert session.letters(0) == letter


def test_said_again_with_other_wishes_it_keeps_the_first_ones(session: ScriptedSession) -> None:
    session.submit(0, into=queue(2))
    session.submit(0, into=queue(1), retries=5)
    assert (session.record(0).queue, session.record(0).retries_left) == (queue(2), 0)


def test_a_batch_beyond_the_limits_of_lua_still_works(session: ScriptedSession) -> None:
    many = range(9000)
    assert session.submit(*many).added == 9000
    assert session.submit(*range(9000, 18000), after=[20000]).refused[-1] == unit_id(17999)
    pilot = session.pilot(cores=9000)
    assert len(pilot.claim(9000)) == 1000  # clamped: the agent asks again
    assert pilot.report(*((number, 1, "D") for number in many)) == "1" * 9000
    assert session.cancel(*many) == "2" * 9000


def test_keeps_descriptions_and_templates(session: ScriptedSession) -> None:
    unit = unit_ops.NewUnit(unit_id(0), queue(), b"\x00\xff sealed")
    for template in (b"first", b"second"):
        session.run(unit_ops.submit(session.keys, GROUP, OWNER, [unit], {"digest": template}))
    assert session.link.query(reads.descriptions(session.keys, [unit_id(0)])) == [b"\x00\xff sealed"]
    assert session.link.query(reads.templates(session.keys, ["digest", "other"])) == [b"first", None]
    assert session.link.query(reads.groups(session.keys)) == {GROUP: OWNER}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "none",
        queue(owner="cds-other"),
        queue().replace(",", ""),
        queue() + "x",
        queue() + "|1",
        "a/,/1.1/0",
    ],
)
def test_refuses_a_queue_that_is_none_or_another_owners(session: ScriptedSession, name: str) -> None:
    units = [unit_ops.NewUnit(unit_id(number), into, b"") for number, into in enumerate((name, queue()))]
    reply = session.run(unit_ops.submit(session.keys, GROUP, OWNER, units, {}))
    assert reply == unit_ops.Submitted(added=1, refused=(unit_id(0),))


@pytest.mark.parametrize("header", ["", "queue", f"{queue()}|x|3|", f"{queue()}|1", f"{OWNER}/none|0|0|"])
def test_refuses_a_header_that_cannot_be_read_alone(session: ScriptedSession, header: str) -> None:
    good = unit_ops.submit(session.keys, GROUP, OWNER, [unit_ops.NewUnit(unit_id(0), queue(), b"d")], {})
    arguments = [*good.arguments, unit_id(1), header, b"d"]
    reply = session.run(Operation(good.script, good.prefix, arguments, good.parse))
    assert reply == unit_ops.Submitted(1, (unit_id(1),))


def test_refuses_a_pilot_that_has_ended_but_not_what_it_took_before(session: ScriptedSession) -> None:
    pilot = session.pilot(DIRECT)
    assert session.submit(0, into=queue(owner=DIRECT)).added == 1
    pilot.end("Canceled")
    assert session.letters(0) == "C"
    assert session.submit(0, into=queue(owner=DIRECT)).added == 0
    with pytest.raises(PilotEndedError, match="is Canceled"):
        session.submit(1, into=queue(owner=DIRECT))


def test_a_session_that_is_not_there_is_told(link: ServerLink) -> None:
    keys = Keys("s-unknown")
    with pytest.raises(NoSessionError):
        link.run(unit_ops.submit(keys, GROUP, OWNER, [unit_ops.NewUnit(unit_id(0), queue(), b"")], {}))
    with pytest.raises(NoSessionError):
        link.run(pilot_ops.sweep(keys))
    assert link.client.dbsize() == 0


def test_counts_are_kept_per_group(session: ScriptedSession) -> None:
    session.submit(0, 1, 2)
    other = unit_ops.NewUnit("cu-fedcba-0", queue(), b"")
    session.run(unit_ops.submit(session.keys, "fedcba", OWNER, [other], {}))
    assert session.pilot().claim(1) == [0]
    counts = session.link.query(reads.counts(session.keys))
    assert {group: {k: n for k, n in letters.items() if n} for group, letters in counts.items()} == {
        GROUP: {"N": 2, "A": 1},
        "fedcba": {"N": 1},
    }


def test_a_joined_session_keeps_what_its_first_opener_wrote(session: ScriptedSession) -> None:
    first = session.run(pilot_ops.open_session(session.keys, "1.0", 5))
    again = session.run(pilot_ops.open_session(session.keys, "1.7", 7))
    assert first == again
    assert session.link.query(reads.protocol(session.keys)) == "1.0"


def test_once_a_day_every_key_lives_on(session: ScriptedSession) -> None:
    pilot = session.pilot()
    session.submit(0, into=queue(8))
    session.submit(1)
    session.submit(2, after=(0,))
    pilot.claim(4)
    for name in session.client.keys("*"):
        session.client.expire(name, 100)
    session.sweep()
    assert session.client.ttl(session.keys.named("successors")) <= 100
    session.client.hset(session.keys.named("meta"), "renewed", 1)
    session.sweep()
    assert all(session.client.ttl(name) > 100 for name in session.client.keys("*"))


def test_purge_leaves_nothing(session: ScriptedSession) -> None:
    pilot, other = session.pilot(DIRECT), session.pilot("p-bbbbbbbb")
    other.claim(1)
    session.submit(*range(5))
    session.submit(5, into=queue(99, priority=7))
    session.submit(6, into=queue(owner=DIRECT))
    session.submit(7, after=(0,))
    pilot.claim(3)
    pilot.report((0, 1, "D"), (1, 1, "R"))
    session.cancel(2, 5)
    other.end()
    assert session.run(pilot_ops.purge(session.keys)) > 10
    assert session.client.keys("*") == []
    with pytest.raises(NoSessionError):
        pilot.beat()
    assert session.client.keys("*") == []
