"""What a restarted head tells first."""

from __future__ import annotations

from typing import Any

import pytest

from core_builders import end
from pilot_agent.core.endings import CANCELED, DROPPED, undelivered
from pilot_agent.journal import Recovery
from pilot_agent.recovered_ends import known_ends, reports_of
from pilot_agent.unit_record import Cause

UNIT = ("cu-a-1", 2)
KILLED = end(None, signal=9, reason="lost", message="killed because its executor was stopped")


def recovery(**found: Any) -> Recovery:
    return Recovery(**{"ended": {}, "lost": [], "confirmed": {}, "causes": {}, **found})


def verdicts(found: Recovery) -> list[tuple[str, str]]:
    items = reports_of(found)
    assert all((item.id, item.attempt) == UNIT for item in items)
    return [(item.letter, item.reason) for item in items]


@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        (end(0), ("D", "")),
        (end(3, reason="exit"), ("E", "exit")),
        (end(None, signal=11, reason="signal"), ("E", "signal")),
        (end(None, reason="start"), ("F", "start")),
        (KILLED, ("L", "lost")),
    ],
)
def test_an_end_that_redis_has_not_heard_of_is_told(how: Any, verdict: tuple[str, str]) -> None:
    assert verdicts(recovery(ended={UNIT: how})) == [verdict]


def test_a_unit_of_which_nobody_knows_is_lost() -> None:
    assert verdicts(recovery(lost=[UNIT])) == [("L", "lost")]


@pytest.mark.parametrize(
    ("cause", "how", "verdict"),
    [
        (CANCELED, KILLED, ("C", "canceled")),
        (CANCELED, end(None, signal=15, reason="signal"), ("C", "canceled")),
        (Cause("E", "timeout"), end(None, signal=15, reason="signal"), ("E", "timeout")),
    ],
)
def test_why_a_unit_was_told_to_end_outweighs_how_it_did(
    cause: Cause, how: Any, verdict: tuple[str, str]
) -> None:
    causes = {UNIT: list(cause)}
    assert verdicts(recovery(ended={UNIT: how}, causes=causes)) == [verdict]
    assert verdicts(recovery(lost=[UNIT], causes=causes)) == [verdict]


def test_a_unit_that_is_another_pilots_is_not_told_of() -> None:
    causes = {UNIT: list(DROPPED)}
    assert verdicts(recovery(ended={UNIT: KILLED}, causes=causes)) == []
    assert verdicts(recovery(lost=[UNIT], causes=causes)) == []


def test_what_was_confirmed_is_not_told_again_but_to_a_server_that_may_have_forgotten_it() -> None:
    found = recovery(confirmed={UNIT: KILLED}, causes={UNIT: list(CANCELED)})
    assert verdicts(found) == []
    (item,) = known_ends(found.confirmed, found)
    assert (item.id, item.letter, item.reason, item.end) == ("cu-a-1", "C", "canceled", KILLED)


def test_a_delivery_that_failed_is_told_as_it_was_to_a_server_that_may_have_forgotten_it() -> None:
    delivery = {"folder": "/f", "data": {"du": ["*"]}, "transfers": [], "keeps_failed": False}
    how: Any = {**end(0), "deliver": delivery}
    found = recovery(confirmed={UNIT: how}, causes={UNIT: list(undelivered("no room"))})
    (item,) = known_ends(found.confirmed, found)
    assert (item.letter, item.reason) == ("F", "staging")
