"""What ends or interrupts the whole pilot: drain, stop, walltime, a lost lease, a lost executor."""

from __future__ import annotations

from core_builders import SHORT, Bench, end, short_units_run, unit
from pilot_agent.actions import Claim, Finish, Report, SendRetract, SendStart, WakeAt
from pilot_agent.core import CoreSettings
from pilot_agent.core.claims import PASS_ON
from pilot_agent.events import (
    Doorbell,
    DrainRequested,
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


def test_units_that_could_not_end_are_not_started_and_not_claimed_again_at_once() -> None:
    bench = Bench(2, settings=CoreSettings(end_s=1600.0, margin_s=0.0))
    bench.opened(unit("long", walltime=11), unit("short", walltime=9))
    assert (set(bench.placed), bench.letters) == ({"short"}, {"long": "U"})
    bench.confirmed()
    bench.tell(Doorbell())
    assert bench.every(Claim) == [PASS_ON]
    bench.claimed()
    bench.tell(Tick(), after_s=1.0)
    assert bench.every(Claim)
    bench.claimed(unit("long", attempt=2, walltime=11))
    bench.confirmed()
    bench.tell(Doorbell(), after_s=1.5)
    assert bench.every(Claim) == [PASS_ON], "each time it waits longer"


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


def test_the_journal_of_a_lost_executor_says_what_ended_and_what_may_have_followed() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"), unit("c"))
    (running,) = set(bench.core.table.records) - {"b", "c"}
    bench.tell(ExecutorLost(0, [[running, 1, end()]]))
    bench.tell(Tick(), after_s=0.01)
    pending = {item.id: item.letter for item in bench.core.table.reports.pending()}
    assert pending == {running: "D", "b": "L", "c": "U"}


def test_a_chained_unit_that_a_lost_executor_had_begun_is_lost_and_not_given_back_free() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"), unit("c"))
    (running,) = set(bench.core.table.records) - {"b", "c"}
    bench.tell(ExecutorLost(0, begun=[["b", 1], ["c", 7]]))
    bench.tell(Tick(), after_s=0.01)
    pending = {item.id: item.letter for item in bench.core.table.reports.pending()}
    assert pending == {running: "L", "b": "L", "c": "U"}
