"""Units that wait for others: when they start, and when they are canceled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pilot_protocol import reads, unit_ops
from scripted_session import GROUP, OWNER, ScriptedPilot, ScriptedSession, queue, unit_id

CHAIN = 12_000


def ended(session: ScriptedSession, pilot: ScriptedPilot, number: int, letter: str) -> None:
    """Let a pilot end one unit."""
    assert pilot.report((number, session.record(number).attempt, letter)) == "1"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_fan_in(session: ScriptedSession, order: Sequence[int]) -> None:
    session.submit(0, 1, 2)
    session.submit(3, after=(0, 1, 2))
    pilot = session.pilot()
    assert pilot.claim(9) == [0, 1, 2]
    for still_open, number in zip((3, 2, 1), order):
        assert session.letters(3) == "W"
        assert session.link.query(reads.open_predecessors(session.keys, [unit_id(3), unit_id(0)])) == [
            still_open,
            None,
        ]
        ended(session, pilot, number, "D")
    assert pilot.claim(9) == [3]


def test_fan_out(session: ScriptedSession) -> None:
    session.submit(0)
    session.submit(*range(1, 101), after=(0,))
    pilot = session.pilot()
    pilot.claim(1)
    ended(session, pilot, 0, "D")
    assert pilot.claim(500) == list(range(1, 101))


def diamond(session: ScriptedSession, **wishes: Any) -> ScriptedPilot:
    """Submit 0 → 1, 2 → 3 and start what can be."""
    session.submit(0)
    session.submit(1, 2, after=(0,))
    session.submit(3, after=(1, 2), **wishes)
    pilot = session.pilot()
    pilot.claim(9)
    return pilot


@pytest.mark.parametrize(
    ("run_after_failure", "ends", "states"),
    [
        (False, "DD", "N"),
        (False, "FD", "C"),
        (False, "DF", "C"),
        (False, "FC", "C"),
        (True, "DD", "N"),
        (True, "FD", "N"),
        (True, "DC", "N"),
        (True, "FF", "N"),
    ],
)
def test_diamond(session: ScriptedSession, run_after_failure: bool, ends: str, states: str) -> None:
    pilot = diamond(session, run_after_failure=run_after_failure)
    ended(session, pilot, 0, "D")
    assert pilot.claim(9) == [1, 2]
    ended(session, pilot, 1, ends[0])
    ended(session, pilot, 2, ends[1])
    assert session.letters(3) == states
    bad = 1 if ends[0] in "FC" else 2
    assert session.reason(3) == (f"dependency {unit_id(bad)}" if states == "C" else None)


def test_a_failed_root_cancels_the_whole_graph(session: ScriptedSession) -> None:
    pilot = diamond(session)
    ended(session, pilot, 0, "F")
    assert session.letters(1, 2, 3) == "CCC"
    assert session.reason(1) == f"dependency {unit_id(0)}"


def test_a_retry_is_no_failure_yet(session: ScriptedSession) -> None:
    session.submit(0, retries=1)
    session.submit(1, after=(0,))
    pilot = session.pilot()
    pilot.claim(1)
    ended(session, pilot, 0, "E")
    assert session.letters(0, 1) == "NW"
    pilot.claim(1)
    ended(session, pilot, 0, "D")
    assert session.letters(1) == "N"


@pytest.mark.parametrize(
    ("letter", "run_after_failure", "state"),
    [
        ("D", False, "N"),
        ("D", True, "N"),
        ("F", False, "C"),
        ("F", True, "N"),
        ("C", False, "C"),
        ("C", True, "N"),
    ],
)
def test_a_predecessor_that_has_ended_before(
    session: ScriptedSession, letter: str, run_after_failure: bool, state: str
) -> None:
    session.submit(0)
    pilot = session.pilot()
    pilot.claim(1)
    ended(session, pilot, 0, letter)
    session.submit(1, after=(0,), run_after_failure=run_after_failure)
    assert session.letters(1) == state


def test_an_unknown_predecessor_is_refused(session: ScriptedSession) -> None:
    reply = session.submit(1, after=(0,))
    assert (reply.added, reply.refused) == (0, (unit_id(1),))
    assert session.submit(0).added == 1
    assert session.submit(1, after=(0,)).added == 1


def test_one_that_waits_for_itself_is_refused(session: ScriptedSession) -> None:
    assert session.submit(0, after=(0,)).refused == (unit_id(0),)


def test_the_same_predecessor_twice_counts_once_or_ends_twice(session: ScriptedSession) -> None:
    session.submit(0)
    session.submit(1, after=(0, 0))
    pilot = session.pilot()
    pilot.claim(1)
    ended(session, pilot, 0, "D")
    assert session.letters(1) == "N"


def test_within_one_batch(session: ScriptedSession) -> None:
    units = [
        unit_ops.NewUnit(unit_id(number), queue(), b"", predecessors=[unit_id(number - 1)] if number else [])
        for number in range(3)
    ]
    operation = unit_ops.submit(session.keys, GROUP, OWNER, units, {})
    assert session.run(operation).added == 3
    assert session.run(operation).added == 0
    pilot = session.pilot()
    for number in range(3):
        assert pilot.claim(9) == [number]
        ended(session, pilot, number, "D")


def test_a_canceled_waiting_unit_is_not_released(session: ScriptedSession) -> None:
    session.submit(0)
    session.submit(1, after=(0,))
    session.submit(2, after=(1,), run_after_failure=True)
    assert session.cancel(1) == "1"
    assert session.letters(0, 1, 2) == "NCN"
    pilot = session.pilot()
    assert pilot.claim(9) == [0, 2]
    ended(session, pilot, 0, "D")
    assert session.letters(1) == "C"


def submit_chain(session: ScriptedSession, length: int) -> None:
    """Submit units each of which waits for the one before."""
    for first in range(0, length, 500):
        units = [
            unit_ops.NewUnit(unit_id(n), queue(), b"", predecessors=[unit_id(n - 1)] if n else [])
            for n in range(first, min(first + 500, length))
        ]
        session.run(unit_ops.submit(session.keys, GROUP, OWNER, units, {}))


def test_a_long_chain_is_canceled_over_several_scripts(session: ScriptedSession) -> None:
    submit_chain(session, CHAIN)
    assert session.cancel(0) == "1"
    scripts = 1
    while session.events()[-1].has_more:
        seen = session.events()[-1].cursor
        session.sweep()
        scripts += 1
        assert session.events()[-1].cursor != seen
    assert scripts == 3
    counts = session.link.query(reads.counts(session.keys))[GROUP]
    assert {letter: number for letter, number in counts.items() if number} == {"C": CHAIN}


def test_a_wide_fan_is_released_over_several_scripts(session: ScriptedSession) -> None:
    session.submit(0)
    for first in range(1, 7_001, 500):
        session.submit(*range(first, first + 500), after=(0,))
    pilot = session.pilot()
    pilot.claim(1)
    ended(session, pilot, 0, "D")
    assert session.events()[-1].has_more
    session.sweep()
    counts = session.link.query(reads.counts(session.keys))[GROUP]
    assert (counts["D"], counts["N"], counts["W"]) == (1, 7_000, 0)
    assert pilot.claim(3) == [1, 2, 3]
