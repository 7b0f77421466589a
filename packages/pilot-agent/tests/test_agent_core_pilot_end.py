"""What ends or interrupts the whole pilot: drain, stop, walltime, a lost lease, a lost executor."""

from __future__ import annotations

import pytest

from core_builders import SHORT, Bench, end, short_units_run, unit
from pilot_agent.actions import Claim, Finish, Report, SendRetract, SendStart, WakeAt
from pilot_agent.core import CoreSettings
from pilot_agent.core.claims import MOST_ASIDE, PASS_ON
from pilot_agent.events import (
    CancelRequested,
    Doorbell,
    DrainRequested,
    Event,
    ExecutorEvents,
    ExecutorLost,
    ExecutorUp,
    Fenced,
    LeaseEnded,
    LinkBack,
    StopRequested,
    Tick,
)

TERM, KILL = 15, 9


def test_drain_lets_run_what_runs() -> None:
    bench = Bench(1)
    bench.opened(unit("a"), unit("b"))
    bench.tell(DrainRequested("drain"))
    assert bench.letters == {"b": "U"}
    bench.confirmed()
    bench.ended("a")
    assert not bench.every(Finish)
    bench.confirmed()
    assert bench.only(Finish) == Finish("Done", "drain")
    assert bench.tell(Doorbell()) == []


def test_what_is_claimed_while_draining_goes_back() -> None:
    bench = Bench(2)
    bench.opened(unit("runs"))
    bench.tell(Doorbell())
    bench.tell(DrainRequested())
    bench.claimed(unit("late"))
    assert bench.letters == {"late": "U"}
    assert not bench.every(Claim)


def test_stop_ends_units_and_sends_them_elsewhere() -> None:
    bench = Bench(1)
    bench.opened(unit("a"), unit("b"))
    bench.tell(StopRequested("Canceled", "canceled"))
    assert bench.signals == [("a", TERM)]
    assert bench.letters == {"b": "U"}
    bench.confirmed()
    bench.tell(Tick(), after_s=10)
    assert bench.signals == [("a", KILL)]
    bench.ended("a", end(code=None, signal=9))
    assert bench.reported[0][2:4] == ("L", "lost")
    bench.confirmed()
    assert bench.only(Finish) == Finish("Canceled", "canceled")


def test_stop_asks_for_what_is_chained_and_ends_what_started_meanwhile() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"), unit("c"))
    (running,) = set(bench.core.table.records) - {"b", "c"}
    bench.tell(StopRequested(letter="C", unit_reason="canceled"))
    assert bench.only(SendRetract).unit_ids == ["b", "c"]
    bench.tell(ExecutorEvents(0, ended=[[running, 1, SHORT, "b"]], retracted=["c"]))
    assert bench.signals == [("b", TERM)]
    assert ("c", "U") in bench.letters.items()


def test_the_pilots_walltime_ends_its_units_in_time() -> None:
    settings = CoreSettings(end_s=1100.0, grace_s=10.0, margin_s=30.0)
    bench = Bench(1, settings=settings)
    bench.opened(unit("a"), unit("b"))
    assert bench.now_s == 1000.0
    bench.tell(Tick(), after_s=70.0)
    assert bench.signals == [("a", TERM)]
    assert bench.letters == {"b": "U"}
    bench.confirmed()
    bench.ended("a", end(code=0))
    assert bench.reported[0][2:4] == ("L", "walltime")
    bench.confirmed()
    assert bench.only(Finish) == Finish("Done", "walltime")


def with_a_long_unit(attempt: int = 1) -> Bench:
    """Return a bench whose pilot has ten minutes left, and a unit that asks for eleven."""
    bench = Bench(2, settings=CoreSettings(end_s=1600.0, margin_s=0.0))
    bench.opened(unit("long", attempt=attempt, walltime=11), unit("short", walltime=9))
    assert set(bench.placed) == {"short"}
    return bench


def test_a_unit_that_could_not_end_is_kept_for_a_while_and_does_not_stop_the_others() -> None:
    bench = with_a_long_unit()
    assert (bench.reported, bench.core.held()) == ([], [("long", 1), ("short", 1)])
    assert bench.only(Claim) is not PASS_ON
    bench.claimed(unit("next"))
    assert set(bench.placed) == {"next"}
    bench.tell(Tick(), after_s=0.9)
    assert not bench.reported
    bench.tell(Tick(), after_s=0.1)
    assert bench.letters == {"long": "H"}


@pytest.mark.parametrize(("attempt", "pause_s"), [(2, 2.0), (7, 60.0), (80, 60.0)])
def test_a_unit_that_could_not_end_is_kept_longer_each_time(attempt: int, pause_s: float) -> None:
    bench = with_a_long_unit(attempt)
    bench.tell(Tick(), after_s=pause_s - 0.1)
    assert not bench.reported
    bench.tell(Tick(), after_s=0.1)
    assert bench.letters == {"long": "H"}


@pytest.mark.parametrize(
    ("event", "letter"),
    [
        (CancelRequested(["long"]), "C"),
        (DrainRequested(), "U"),
        (StopRequested(), "U"),
        (Fenced(["long"]), None),
    ],
)
def test_a_unit_that_is_kept_goes_with_whatever_ends_it(event: Event, letter: str | None) -> None:
    bench = with_a_long_unit()
    bench.tell(event)
    assert bench.letters.get("long") == letter
    assert "long" not in bench.core.table.records
    bench.tell(Tick(), after_s=5.0)
    assert "long" not in bench.letters


def test_without_a_lease_a_unit_that_is_kept_stays_until_redis_is_back() -> None:
    bench = with_a_long_unit()
    bench.tell(LeaseEnded())
    bench.tell(Tick(), after_s=5.0)
    assert (bench.reported, ("long", 1) in bench.core.held()) == ([], True)
    bench.tell(LinkBack())
    assert bench.letters == {"long": "H"}


def test_no_more_than_some_units_are_kept_from_other_pilots() -> None:
    bench = Bench(1000, settings=CoreSettings(end_s=1600.0, margin_s=0.0))
    bench.opened(*(unit(f"long{number}", walltime=11) for number in range(MOST_ASIDE)))
    assert not bench.every(Claim)
    bench.tell(Tick(), after_s=1.0)
    assert bench.every(Claim)


# --- the lease, other pilots ---


def test_without_a_lease_nothing_runs_and_nothing_is_said() -> None:
    bench = Bench(2)
    bench.opened(unit("killed"), unit("faster"), unit("waits"))
    bench.tell(LeaseEnded())
    assert bench.signals == [("killed", KILL), ("faster", KILL)]
    bench.ended("killed", end(code=None, signal=9))
    assert not [action for action in bench.actions if not isinstance(action, WakeAt)]
    bench.ended("faster", end(code=0))
    assert sorted(bench.core.held()) == [("faster", 1), ("killed", 1), ("waits", 1)]
    bench.tell(LinkBack())
    assert bench.letters == {"killed": "L", "faster": "D"}
    assert bench.placed == {"waits": [0]}
    assert bench.every(Claim)


def test_a_confirmation_that_comes_too_late_does_not_start_a_unit() -> None:
    bench = Bench(1)
    bench.opened(unit("a", max_restarts=0))
    bench.tell(LeaseEnded())
    bench.confirmed()
    assert not bench.every(SendStart)
    bench.tell(LinkBack())
    assert bench.letters == {"a": "R"}
    bench.confirmed("2")
    assert bench.placed == {"a": [0]}


def test_a_report_without_an_answer_is_said_again() -> None:
    bench = Bench(1)
    bench.opened(unit("a"))
    bench.ended("a")
    first = bench.only(Report)
    bench.tell(LeaseEnded())
    bench.tell(LinkBack())
    assert bench.only(Report) == first


def test_units_of_other_pilots_are_killed_and_not_reported() -> None:
    bench = Bench(1)
    bench.opened(unit("a"), unit("b"))
    bench.tell(Fenced(["a", "b", "unknown"]))
    assert bench.signals == [("a", KILL)]
    bench.ended("a", end(code=None, signal=9))
    assert not bench.reported
    assert not bench.core.held()


def test_a_later_attempt_waits_until_the_earlier_one_is_gone() -> None:
    bench = Bench(2)
    bench.opened(unit("a", attempt=1))
    bench.claimed(unit("a", attempt=2))
    assert (bench.signals, bench.placed) == ([("a", KILL)], {})
    assert bench.core.held() == [("a", 2)]
    bench.claimed(unit("a", attempt=1))
    bench.ended("a", end(code=None, signal=9))
    assert bench.orders[0]["attempt"] == 2
    assert not bench.reported


# --- executors ---


def test_what_a_lost_executor_ran_is_lost_and_the_others_take_its_cores() -> None:
    bench = Bench(2, executors=2)
    bench.opened(unit("a"), unit("b"))
    bench.tell(ExecutorLost(0))
    assert bench.letters == {"a": "L"}
    assert (bench.reported[0].reason, bench.reported[0].cores) == ("lost", "0")
    bench.claimed(unit("c"))
    assert (bench.only(SendStart).executor, bench.placed) == (1, {"c": [0]})


def test_without_any_executor_units_wait_for_a_new_one() -> None:
    bench = Bench(1)
    bench.opened(unit("a"))
    bench.tell(ExecutorLost(0))
    bench.confirmed()
    bench.claimed(unit("b"))
    assert not bench.placed
    bench.tell(ExecutorUp(0))
    assert bench.placed == {"b": [0]}


def test_the_journal_of_a_lost_executor_says_what_ended_and_what_followed() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"), unit("c"))
    (running,) = set(bench.core.table.records) - {"b", "c"}
    bench.tell(ExecutorLost(0, [[running, 1, end()]], begun=[["b", 1]]))
    bench.tell(Tick(), after_s=0.01)
    pending = {item.id: item.letter for item in bench.core.table.reports.pending()}
    assert pending == {running: "D", "b": "L", "c": "U"}


def test_what_a_lost_executor_held_ahead_has_not_run_because_another_unit_ended() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"), unit("c"))
    (running,) = set(bench.core.table.records) - {"b", "c"}
    bench.core.termination.retract(bench.core.table.records["b"])
    bench.tell(ExecutorLost(0, [[running, 1, end()]]))
    bench.tell(Tick(), after_s=0.01)
    pending = {item.id: item.letter for item in bench.core.table.reports.pending()}
    assert pending == {running: "D", "b": "U", "c": "U"}


def test_a_unit_that_came_back_from_an_executor_is_not_lost_with_it() -> None:
    bench = short_units_run(1, executors=1)
    bench.claimed(unit("b"))
    bench.core.termination.retract(bench.core.table.records["b"])
    bench.tell(ExecutorEvents(0, retracted=["b"]), after_s=1.0)
    bench.tell(ExecutorLost(0))
    assert ("b", 1) in bench.core.held()
    assert "b" not in {item.id for item in bench.core.table.reports.pending()}


def test_a_chained_unit_that_a_lost_executor_had_begun_is_lost_and_not_given_back_free() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"), unit("c"))
    (running,) = set(bench.core.table.records) - {"b", "c"}
    bench.tell(ExecutorLost(0, begun=[["b", 1], ["c", 7]]))
    bench.tell(Tick(), after_s=0.01)
    pending = {item.id: item.letter for item in bench.core.table.reports.pending()}
    assert pending == {running: "L", "b": "L", "c": "U"}
