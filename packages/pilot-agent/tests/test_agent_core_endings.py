"""Ends of units and of the pilot: which letter, which signal, and what happens to the slots."""

from __future__ import annotations

from typing import Any

import pytest

from core_builders import SHORT, Bench, end, short_units_run, unit
from pilot_agent.actions import SendRetract, SendSignal, SendStart, WakeAt
from pilot_agent.core import CoreSettings
from pilot_agent.events import (
    CancelRequested,
    ExecutorEvents,
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
    assert (item.end, item.cores, item.nodes) == (record, "0-1", (0,))
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
