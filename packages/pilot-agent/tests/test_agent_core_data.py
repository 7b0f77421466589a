"""Units with data: their input comes before cores, their output goes before their end is told."""

from __future__ import annotations

from typing import Any

import pytest

from core_builders import Bench, end, unit
from pilot_agent.actions import Claim, Finish, MoveRequest, NoteCauses, Report, ReportItem
from pilot_agent.core import CoreSettings
from pilot_agent.core.reports import UNKNOWN_KEPT_S
from pilot_agent.events import (
    CancelRequested,
    Doorbell,
    DrainRequested,
    Event,
    Fenced,
    LeaseEnded,
    LinkBack,
    Moved,
    ReportsFound,
    ServerForgot,
    StopRequested,
    Tick,
)
from pilot_agent.node.orders import EndRecord
from pilot_protocol.unit_ops import STALE, UNKNOWN

GRACE_S = 10.0


def bench(cores: int = 2) -> Bench:
    return Bench(cores, settings=CoreSettings(grace_s=GRACE_S))


def staged(*names: str, cores: int = 2) -> Bench:
    """Return a bench whose units wait for their input."""
    made = bench(cores)
    made.opened(*(unit(name, stages=True, delivers=True) for name in names))
    return made


def came(made: Bench, name: str, error: str = "", attempt: int = 1) -> None:
    made.tell(Moved(name, attempt, "in", error))


def went(made: Bench, name: str, error: str = "", attempt: int = 1) -> None:
    made.tell(Moved(name, attempt, "out", error))


def stale(made: Bench, name: str = "a") -> None:
    """Let the mover hear that the attempt is not this pilot's."""
    made.tell(Moved(name, 1, "out", "not this pilot's", is_stale=True))


def kept(how: EndRecord, **more: Any) -> EndRecord:
    """Return an END that says what is to be delivered, as an executor's does."""
    delivery = {"folder": "/sandbox/a", "data": {"du-o": ["out"]}, "transfers": [], "keeps_failed": False}
    return {**how, "deliver": {**delivery, **more}}


def delivering(name: str = "a", how: EndRecord | None = None) -> Bench:
    """Return a bench on which a unit has run, and nothing is under way to Redis."""
    made = bench()
    made.opened(unit(name, delivers=True))
    made.ended(name, kept(how or end()))
    settle(made)
    return made


def settle(made: Bench) -> None:
    """Let Redis hear everything that there is to say so far."""
    made.tell(Tick(), 0.05)
    while made.core.table.reports.under_way:
        made.confirmed()


def test_input_comes_before_cores() -> None:
    made = staged("a")
    assert made.moves == [MoveRequest("in", "a", 1, "/sandbox/a", {"du-i": ["*"]}, [])]
    assert made.letters == {"a": "S"}
    assert made.placed == {}
    assert made.core.free_cores == 2
    came(made, "a")
    assert made.placed == {"a": [0]}


def test_nothing_is_moved_for_a_unit_that_could_not_end_before_the_pilot() -> None:
    made = Bench(1, settings=CoreSettings(end_s=1100.0, grace_s=0.0))
    made.opened(unit("a", stages=True, walltime=10.0))
    assert made.moves == []
    made.tell(Tick(), 1.0)
    assert made.letters == {"a": "H"}


def test_a_unit_without_input_waits_for_none() -> None:
    made = bench()
    made.opened(unit("a", delivers=True))
    assert made.moves == []
    assert made.placed == {"a": [0]}


def test_a_unit_whose_input_cannot_be_had_fails() -> None:
    made = staged("a")
    settle(made)
    came(made, "a", "du-i has no whole replica")
    (item,) = made.reported
    assert item == ReportItem(
        "a", 1, "F", "staging", "its input could not be moved in: du-i has no whole replica"
    )
    assert made.moved == [("release", "a")]


def test_output_goes_out_after_the_cores_are_free_and_before_the_end_is_told() -> None:
    made = bench(1)
    made.opened(unit("a", delivers=True), unit("b"))
    made.ended("a", kept(end()))
    assert made.moves == [MoveRequest("out", "a", 1, "/sandbox/a", {"du-o": ["out"]}, [])]
    assert made.placed == {"b": [0]}
    assert made.letters == {"a": "R"}
    assert ("a", 1) in made.core.held()
    settle(made)
    went(made, "a")
    assert made.letters == {"a": "D"}
    assert made.moved == [("release", "a")]
    assert not made.every(NoteCauses)


def test_a_unit_whose_output_cannot_be_delivered_fails_and_the_journal_knows() -> None:
    made = delivering()
    went(made, "a", "no file matches out")
    (item,) = made.reported
    message = "its output could not be moved out: no file matches out"
    assert (item.letter, item.reason, item.message) == ("F", "staging", message)
    assert made.only(NoteCauses).causes == [("a", 1, ("F", "staging", message, False))]
    assert made.actions.index(made.only(NoteCauses)) < made.actions.index(made.only(Report))


@pytest.mark.parametrize(("keeps", "moves"), [(False, []), (True, [("out", "a")])])
def test_what_a_failed_unit_leaves_goes_out_only_if_it_is_to_be_kept(
    keeps: bool, moves: list[tuple[str, str]]
) -> None:
    made = bench()
    made.opened(unit("a", delivers=True))
    made.ended("a", kept(end(3, reason="exit", message="exit code 3"), keeps_failed=keeps))
    assert [move for move in made.moved if move[0] == "out"] == moves
    if keeps:
        settle(made)
        went(made, "a", "the place is full")
        assert not made.every(NoteCauses)
    (item,) = [item for item in made.reported if item.letter != "R"]
    assert (item.letter, item.reason) == ("E", "exit")
    assert item.message.startswith("exit code 3")


def test_a_canceled_unit_ends_when_nobody_writes_into_its_folder_any_more() -> None:
    made = staged("a")
    settle(made)
    made.tell(CancelRequested(["a"]))
    assert made.moved == [("cancel", "a")]
    assert made.reported == []
    came(made, "a", "canceled")
    assert made.letters == {"a": "C"}
    assert made.moved == [("release", "a")]


def test_a_canceled_unit_does_not_start_although_its_input_came() -> None:
    made = staged("a")
    settle(made)
    made.tell(CancelRequested(["a"]))
    came(made, "a")
    assert made.placed == {}
    assert made.letters == {"a": "C"}


def test_a_mover_that_does_not_answer_a_cancel_is_not_waited_for_longer_than_the_grace() -> None:
    made = staged("a")
    settle(made)
    made.tell(CancelRequested(["a"]))
    made.tell(Tick(), GRACE_S)
    assert made.letters == {"a": "C"}
    came(made, "a")
    assert made.placed == {}


def test_a_delivery_that_is_canceled_ends_as_such_unless_it_was_faster() -> None:
    for error, letter in (("canceled", "C"), ("", "D")):
        made = delivering()
        made.tell(CancelRequested(["a"]))
        assert made.moved == [("cancel", "a")]
        went(made, "a", error)
        assert made.letters == {"a": letter}
        assert len(made.every(NoteCauses)) == (letter == "C")


def test_a_pilot_that_drains_gives_back_what_waits_for_input_and_delivers_what_has_ended() -> None:
    made = staged("a", "b")
    came(made, "a")
    made.ended("a", kept(end()))
    settle(made)
    made.tell(DrainRequested())
    assert made.moved == [("cancel", "b")]
    came(made, "b", "canceled")
    assert made.letters == {"b": "U"}
    settle(made)
    made.tell(Tick(), 10 * GRACE_S)
    assert not made.every(Finish)
    went(made, "a")
    assert made.letters == {"a": "D"}
    made.confirmed()
    assert made.only(Finish).state == "Done"


def test_a_pilot_that_is_stopped_gives_deliveries_its_grace() -> None:
    made = delivering()
    made.tell(StopRequested())
    assert made.moved == []
    made.tell(Tick(), GRACE_S)
    assert made.moved == [("cancel", "a")]
    went(made, "a", "canceled")
    assert made.letters == {"a": "L"}
    made.confirmed()
    assert made.only(Finish).state == "Canceled"


def test_a_pilot_that_is_stopped_does_not_wait_for_a_mover_without_end() -> None:
    made = delivering()
    made.tell(StopRequested())
    made.tell(Tick(), GRACE_S)
    made.tell(Tick(), 2.0)
    assert made.letters == {"a": "L"}


def test_a_delivery_that_ends_within_the_grace_counts() -> None:
    made = delivering()
    made.tell(StopRequested())
    went(made, "a")
    assert made.letters == {"a": "D"}


def test_what_is_another_pilots_is_neither_staged_nor_delivered_nor_told() -> None:
    made = staged("a", "b")
    came(made, "a")
    made.ended("a", kept(end()))
    settle(made)
    made.tell(LeaseEnded())
    made.tell(Fenced(["a", "b"]))
    made.tell(LinkBack())
    came(made, "b", "canceled")
    went(made, "a", "stale")
    assert made.core.table.is_empty
    assert made.core.table.reports.is_empty
    assert made.core.held() == []


def test_a_later_attempt_begins_when_the_input_of_the_earlier_one_is_out_of_the_way() -> None:
    made = staged("a")
    made.claimed(unit("a", attempt=2, stages=True))
    assert made.moved == [("cancel", "a")]
    came(made, "a", "canceled")
    assert [(request.do, request.attempt) for request in made.moves] == [("release", 1), ("in", 2)]
    came(made, "a", attempt=2)
    assert made.placed == {"a": [0]}


def test_ends_of_a_journal_are_delivered_before_they_are_told() -> None:
    made = bench()
    late, plain = ReportItem("a", 1, "D", end=kept(end())), ReportItem("b", 1, "D", end=end())
    made.tell(ReportsFound([late, plain]))
    assert made.moved == [("out", "a")]
    assert made.letters == {"b": "D"}
    assert sorted(made.core.held()) == [("a", 1), ("b", 1)]
    made.confirmed()
    went(made, "a")
    assert made.letters == {"a": "D"}


def test_a_server_that_forgot_hears_of_what_is_delivered_that_it_ran() -> None:
    made = delivering()
    made.tell(ServerForgot([]))
    assert made.letters == {"a": "R"}


def test_a_server_that_forgot_has_what_was_delivered_lately_delivered_again() -> None:
    made = bench()
    late, plain = ReportItem("a", 1, "D", end=kept(end())), ReportItem("b", 1, "D", end=end())
    made.tell(ServerForgot([late, plain]))
    assert made.moved == [("out", "a")]
    assert made.letters == {"a": "R", "b": "D"}
    assert sorted(made.core.held()) == [("a", 1), ("b", 1)]
    made.confirmed()
    went(made, "a")
    assert made.letters == {"a": "D"}


def test_what_was_delivered_to_a_server_that_forgot_and_did_not_hear_of_the_end_is_delivered_again() -> None:
    made = delivering()
    went(made, "a")
    assert made.letters == {"a": "D"}
    made.tell(ServerForgot([]))
    assert made.moved == [("out", "a")]
    assert made.letters == {"a": "R"}
    made.confirmed()
    went(made, "a")
    assert made.letters == {"a": "D"}


def test_a_delivery_that_a_server_took_for_nobodys_is_made_again_when_it_knows_the_unit() -> None:
    made = delivering()
    stale(made)
    assert (made.moved, made.letters) == ([], {"a": "R"})
    assert made.core.held() == [("a", 1)]
    made.confirmed()
    assert made.moves == [MoveRequest("out", "a", 1, "/sandbox/a", {"du-o": ["out"]}, [])]
    went(made, "a")
    assert made.letters == {"a": "D"}


@pytest.mark.parametrize("outcome", [STALE, UNKNOWN])
def test_a_delivery_of_a_unit_that_is_another_pilots_ends_without_a_report(outcome: str) -> None:
    made = delivering()
    stale(made)
    made.confirmed(outcome)
    if outcome == UNKNOWN:
        made.tell(Tick(), UNKNOWN_KEPT_S)
        made.confirmed(outcome)
    assert made.moved == [("release", "a")]
    assert made.core.table.is_empty
    assert made.core.table.reports.is_empty
    assert not made.every(NoteCauses)


@pytest.mark.parametrize(("how", "letters"), [(CancelRequested(["a"]), {"a": "C"}), (Fenced(["a"]), {})])
def test_a_delivery_in_doubt_is_called_off_at_once(how: Event, letters: dict[str, str]) -> None:
    made = delivering()
    stale(made)
    made.tell(how)
    assert made.moved == [("release", "a")]
    assert made.core.table.is_empty
    made.confirmed()
    assert made.letters == letters


def test_a_pilot_that_is_stopped_does_not_wait_for_a_delivery_in_doubt_without_end() -> None:
    made = delivering()
    stale(made)
    made.tell(StopRequested())
    made.tell(Tick(), GRACE_S)
    assert made.moved == [("release", "a")]
    made.confirmed()
    assert made.letters == {"a": "L"}


def test_who_is_not_waited_for_any_more_may_be_stale() -> None:
    made = delivering()
    made.tell(CancelRequested(["a"]))
    stale(made)
    assert made.letters == {"a": "C"}


def claims(made: Bench) -> list[int]:
    return [claim.cores for claim in made.every(Claim)]


def test_input_of_as_many_units_as_can_run_at_once_is_moved_in_while_others_run() -> None:
    made = bench(2)
    made.tell(Doorbell())
    first = [unit(name, stages=True) for name in ("a", "b")]
    made.claimed(*first)
    assert claims(made) == [], "no core would be idle"
    came(made, "a")
    assert claims(made) == [2]
    made.claimed(*(unit(name, stages=True) for name in ("c", "d")))
    for name in ("b", "c", "d"):
        came(made, name)
        assert claims(made) == [], "one round is held ahead, beyond what runs"
    made.ended("a")
    assert claims(made) == [1]


def test_what_was_moved_in_stays_and_what_waits_in_vain_beside_it_goes_back() -> None:
    made = bench(1)
    made.opened(unit("a", stages=True))
    came(made, "a")
    made.claimed(unit("b", stages=True))
    came(made, "b")
    settle(made)
    made.tell(Tick(), 5.0)
    assert made.reported == []
    assert len(made.core.scheduler.queue) == 1
    made.ended("a")
    made.claimed(unit("c"))
    settle(made)
    made.tell(Tick(), 5.0)
    assert made.letters == {"c": "H"}
