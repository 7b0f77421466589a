from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from clock_loop import ClockLoop, clock_loop
from pilot_agent import events
from pilot_agent.job_signals import HOLD_S, JobSignals

ASKED = "cu-asked"


@pytest.fixture
def loop() -> Iterator[ClockLoop]:
    with clock_loop() as loop:
        yield loop


def ended(name: str = "cu-1", *, by: int | None = None, code: int | None = None) -> events.ExecutorEvents:
    end: dict[str, Any] = {"signal": by, "code": code}
    return events.ExecutorEvents(0, ended=[[name, 1, end, None]])


def told(
    loop: ClockLoop, *what: events.Event, is_in_job: bool = True
) -> tuple[JobSignals, list[events.Event]]:
    """Tell of events; return who took them, and what it has handed on."""
    heard: list[events.Event] = []
    signals = JobSignals(heard.append, lambda name: name == ASKED, is_in_job=is_in_job)
    for event in what:
        loop.do(signals.take, event)
    return signals, heard


@pytest.mark.parametrize("end", [ended(by=signal.SIGTERM), ended(code=128 + signal.SIGTERM)])
def test_an_end_that_may_be_the_jobs_is_held_back_for_a_while(
    loop: ClockLoop, end: events.ExecutorEvents
) -> None:
    _, heard = told(loop, end)
    assert heard == []
    loop.advance(HOLD_S)
    assert heard == [end]


def test_it_is_handed_on_as_soon_as_it_is_known_what_it_meant(loop: ClockLoop) -> None:
    signals, heard = told(loop, ended(by=signal.SIGTERM))
    loop.do(signals.release)
    assert len(heard) == 1
    loop.advance(2 * HOLD_S)
    assert len(heard) == 1


def test_nothing_overtakes_what_is_held_back(loop: ClockLoop) -> None:
    _, heard = told(loop, ended(by=signal.SIGTERM), ended("cu-2", code=0), events.ExecutorUp(0))
    assert heard == []
    loop.advance(HOLD_S)
    assert heard == [ended(by=signal.SIGTERM), ended("cu-2", code=0), events.ExecutorUp(0)]


@pytest.mark.parametrize(
    "end", [ended(code=0), ended(code=1), ended(by=signal.SIGKILL), ended(ASKED, by=signal.SIGTERM)]
)
def test_other_ends_are_handed_on_at_once(loop: ClockLoop, end: events.ExecutorEvents) -> None:
    assert told(loop, end)[1] == [end]


def test_without_a_job_nothing_is_held_back(loop: ClockLoop) -> None:
    assert len(told(loop, ended(by=signal.SIGTERM), is_in_job=False)[1]) == 1
