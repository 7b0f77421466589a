"""Ends of units and of the pilot: which letter, which signal, and what happens to the slots."""

from __future__ import annotations

from typing import Any

import pytest
from core_builders import SHORT, Bench, end, short_units_run, unit

from pilot_agent.actions import Claim, Finish, Report, SendRetract, SendSignal, SendStart, WakeAt
from pilot_agent.core import CoreSettings
from pilot_agent.events import (
    CancelRequested,
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


@pytest.mark.parametrize(
    ("how", "letter", "reason"),
    [
        ({}, "D", ""),
        ({"code": 3}, "E", "exit"),
        ({"code": 3, "reason": "exit"}, "E", "exit"),
        ({"code": None, "signal": 11}, "E", "signal"),
        ({"code": None, "signal": 9, "reason": "oom"}, "E", "oom"),
        ({"code": None, "reason": "start"}, "F", "start"),
        ({"code": None, "reason": "disk_full"}, "F", "disk_full"),
        ({"code": None, "reason": "rejected"}, "F", "rejected"),
        ({"code": None, "reason": "lost"}, "L", "lost"),
    ],
)
def test_every_end_has_its_letter(how: dict[str, Any], letter: str, reason: str) -> None:
    bench = Bench(2)
    bench.opened(unit("a", cores=2))
    record = end(**how)
    bench.ended("a", record)
    (item,) = bench.reported
    assert (item.id, item.attempt, item.letter, item.reason) == ("a", 1, letter, reason)
    assert (item.end, item.cores, item.node) == (record, "0-1", 0)
    assert bench.core.free_cores == 2


def test_an_end_of_another_attempt_or_executor_is_nobodys() -> None:
    bench = Bench(2, executors=2)
    bench.opened(unit("a", attempt=2))
    bench.tell(ExecutorEvents(0, ended=[["a", 1, end(), None]]))
    bench.tell(ExecutorEvents(1, ended=[["a", 2, end(), None]]))
    assert bench.core.free_cores == 1
    assert not bench.reported


# --- walltime of units ---


def test_a_unit_that_runs_too_long_is_ended_as_timeout() -> None:
    bench = Bench(1, settings=CoreSettings(grace_s=10))
    bench.opened(unit("a", walltime=2))
    assert bench.only(WakeAt).at_s == bench.now_s + 120
    bench.tell(Tick(), after_s=120)
    assert bench.signals == [("a", TERM)]
    assert bench.only(WakeAt).at_s == bench.now_s + 10
    bench.tell(Tick(), after_s=10)
    assert bench.signals == [("a", KILL)]
    bench.ended("a", end(code=0))
    (item,) = bench.reported
    assert (item.letter, item.reason) == ("E", "timeout")
    assert item.message == "compute unit a ran longer than its walltime of 2 minutes"


def test_the_walltime_of_a_chained_unit_begins_when_it_starts() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b", walltime=1))
    (running,) = set(bench.core.table.records) - {"b"}
    bench.now_s += 1.0
    bench.ended(running, SHORT, then="b")
    bench.tell(Tick(), after_s=59.5)
    assert not bench.signals
    bench.tell(Tick(), after_s=0.5)
    assert bench.signals == [("b", TERM)]


def test_deadlines_of_units_that_ended_are_cleared_out() -> None:
    bench = Bench(1)
    for n in range(500):
        bench.opened(unit(f"u{n}", walltime=60))
        bench.ended(f"u{n}")
        bench.confirmed()
    assert len(bench.core.table.deadlines) < 200


# --- cancel ---


def test_cancel_of_units_that_wait_is_final_at_once() -> None:
    bench = Bench(1)
    bench.opened(unit("a"), unit("b"))
    bench.tell(CancelRequested(["b", "unknown"]))
    assert bench.letters == {"b": "C"}
    assert bench.reported[0].reason == "canceled"
    assert not bench.every(SendSignal)


def test_cancel_of_a_running_unit_outweighs_its_exit_code() -> None:
    bench = Bench(1)
    bench.opened(unit("a"))
    bench.tell(CancelRequested(["a"]))
    assert bench.signals == [("a", TERM)]
    bench.tell(CancelRequested(["a"]))
    assert not bench.signals
    bench.tell(Tick(), after_s=10)
    assert bench.signals == [("a", KILL)]
    bench.ended("a", end(code=0))
    assert bench.reported[0][2:4] == ("C", "canceled")


def test_cancel_while_redis_is_asked_gives_the_cores_back() -> None:
    bench = Bench(1)
    bench.opened(unit("a", max_restarts=0))
    bench.tell(CancelRequested(["a"]))
    assert bench.core.free_cores == 1
    bench.confirmed()
    assert bench.letters == {"a": "C"}
    assert not bench.every(SendStart)


def test_cancel_of_a_chained_unit_asks_for_it() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"))
    bench.tell(CancelRequested(["b"]))
    assert bench.only(SendRetract).unit_ids == ["b"]
    assert not bench.reported
    bench.tell(ExecutorEvents(0, retracted=["b"]))
    assert bench.letters == {"b": "C"}


def test_a_canceled_unit_that_started_meanwhile_is_signaled() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"))
    (running,) = set(bench.core.table.records) - {"b"}
    bench.tell(CancelRequested(["b"]))
    bench.ended(running, SHORT, then="b")
    assert bench.signals == [("b", TERM)]
    bench.confirmed()
    bench.ended("b", end(code=None, signal=15))
    assert bench.letters == {"b": "C"}


# --- the pilot ends ---


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
    assert not bench.every(Claim)
    bench.tell(Tick(), after_s=1.0)
    assert bench.every(Claim)
    bench.claimed(unit("long", attempt=2, walltime=11))
    bench.confirmed()
    bench.tell(Doorbell(), after_s=1.5)
    assert not bench.every(Claim), "each time it waits longer"


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
