"""What a head writes into its journal, and when it lets go of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clock_loop import ClockLoop, clock_loop
from core_builders import end, unit
from pilot_agent import events
from pilot_agent.actions import Report
from pilot_agent.config import AgentConfig
from pilot_agent.core import AgentCore
from pilot_agent.core.endings import CANCELED
from pilot_agent.fleet import Fleet
from pilot_agent.head import Head
from pilot_agent.lrms.local import LocalNode
from pilot_agent.resources import Resources
from pilot_agent.scheduler.slots import NodeSpec


class SilentCoordinator:
    """Takes what a core wants said, and says nothing."""

    def __init__(self) -> None:
        self.report_under_way: Report | None = None

    def report(self, report: Report) -> None:
        self.report_under_way = report

    def claim(self, _claim: Any) -> None:
        """Take a claim."""


class HeadAlone:
    """A head without executors and without Redis."""

    def __init__(self, loop: ClockLoop, folder: Path) -> None:
        self.loop = loop
        config = AgentConfig(folder / "agent.json", "redis://nowhere", "s-a", bytes(32), "p-a", 2, folder)
        node = LocalNode("n", 2, ())
        fleet = Fleet(config, Resources("n", node, None, None))
        self.head = Head(config, AgentCore([NodeSpec(2)]), fleet, node, {})
        self.redis = SilentCoordinator()
        self.head._coordinator = self.redis  # type: ignore[assignment]
        self.head._executors.send = lambda *_frame: None  # type: ignore[method-assign]
        self.settled: list[float] = []
        self.head._journal.remove_old = self._settle  # type: ignore[method-assign]

    def _settle(self, confirmed_s: float, now_s: float) -> None:
        self.settled.append(confirmed_s)

    def tell(self, *happened: events.Event) -> None:
        for event in happened:
            self.loop.do(self.head.dispatch, event)

    def answer(self, outcomes: str) -> None:
        report = self.redis.report_under_way
        assert report is not None
        self.redis.report_under_way = None
        self.loop.do(self.head._confirmed, report.items, outcomes)
        self.tell(events.ReportConfirmed(outcomes))


@pytest.fixture
def loop() -> Iterator[ClockLoop]:
    with clock_loop() as loop:
        yield loop


@pytest.fixture
def alone(loop: ClockLoop, tmp_path: Path) -> HeadAlone:
    return HeadAlone(loop, tmp_path)


def ended(name: str) -> events.ExecutorEvents:
    return events.ExecutorEvents(0, ended=[[name, 1, end(), None]])


def test_the_journal_is_kept_until_the_last_unit_that_redis_does_not_know_is_confirmed(
    alone: HeadAlone,
) -> None:
    alone.tell(events.Doorbell(), events.UnitsClaimed([unit("known"), unit("unknown")]))
    alone.tell(events.ExecutorEvents(0, ended=[["known", 1, end(), None], ["unknown", 1, end(), None]]))
    alone.answer("13")
    assert alone.settled == [0.0]
    alone.tell(events.Doorbell(), events.UnitsClaimed([unit("next")]), ended("next"))
    alone.answer("1")
    assert alone.settled == [0.0, 0.0], "one is not confirmed yet"
    alone.loop.advance(1.0)
    asked_s = alone.loop.time()
    alone.answer("1")
    assert alone.settled[-1] == asked_s


def test_a_new_segment_says_why_what_runs_is_to_end(alone: HeadAlone) -> None:
    alone.tell(events.Doorbell(), events.UnitsClaimed([unit("a"), unit("b")]))
    alone.tell(events.CancelRequested(["a"]))
    alone.head._journal._writer._segment_bytes = 1
    alone.tell(ended("b"))
    alone.answer("1")
    recovery = alone.head._journal.recover()
    (first, second) = sorted((alone.head._config.sandbox / "journal").iterdir())
    first.unlink()
    assert alone.head._journal.recover().causes == recovery.causes == {("a", 1): list(CANCELED)}
    assert second.name == "head.2.jsonl"
