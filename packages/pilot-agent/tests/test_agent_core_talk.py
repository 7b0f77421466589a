"""When the core reports and claims, and what it makes of the answers."""

from __future__ import annotations

import pytest

from core_builders import SHORT, Bench, end, short_units_run, unit
from pilot_agent.actions import Claim, Report, ReportItem, SendStart, WakeAt
from pilot_agent.core import CoreSettings
from pilot_agent.core.claims import PASS_ON
from pilot_agent.events import (
    Doorbell,
    DrainRequested,
    ExecutorEvents,
    LinkBack,
    ReportsFound,
    ServerForgot,
    Tick,
    UnitsClaimed,
)
from pilot_protocol.errors import ProtocolError

# --- reports ---


def test_an_end_is_reported_at_once_when_nothing_waits() -> None:
    bench = Bench(1)
    bench.opened(unit("a"))
    bench.ended("a")
    assert bench.letters == {"a": "D"}


def test_ends_are_gathered_while_a_report_is_under_way() -> None:
    bench = Bench(3)
    bench.opened(unit("a"), unit("b"), unit("c"))
    bench.ended("a")
    for name in "bc":
        bench.ended(name)
        assert not bench.reported
    bench.confirmed()
    assert list(bench.letters) == ["b", "c"]


def test_ends_are_gathered_for_a_moment_while_others_wait() -> None:
    bench = Bench(1)
    bench.opened(unit("a"), unit("b"), unit("c"), unit("d"))
    bench.ended("a")
    bench.confirmed()
    bench.ended("b")
    assert not bench.reported
    assert bench.only(WakeAt).at_s == pytest.approx(bench.now_s + 0.01)
    bench.tell(Tick(), after_s=0.011)
    assert bench.letters == {"b": "D"}


def test_enough_ends_are_reported_without_waiting() -> None:
    bench = Bench(250)
    bench.opened(*(unit(f"u{n}") for n in range(252)))
    bench.ended("u0")
    bench.confirmed()
    bench.tell(ExecutorEvents(0, ended=[[f"u{n}", 1, end(), None] for n in range(1, 201)]))
    assert len(bench.reported) == 200


def test_a_report_is_bounded() -> None:
    bench = Bench(600)
    bench.opened(*(unit(f"u{n}") for n in range(600)))
    bench.tell(ExecutorEvents(0, ended=[[f"u{n}", 1, end(), None] for n in range(600)]))
    assert len(bench.reported) == 500
    bench.confirmed()
    assert len(bench.reported) == 100


def test_running_is_reported_of_units_that_still_do_after_a_while() -> None:
    bench = Bench(2)
    bench.opened(unit("short"), unit("long"))
    bench.started("short", "long")
    assert not bench.reported
    bench.ended("short")
    assert bench.letters == {"short": "D"}
    bench.confirmed()
    bench.tell(Tick(), after_s=0.02)
    assert bench.reported == [ReportItem("long", 1, "R", cores="1", nodes=(0,))]
    bench.confirmed()
    bench.tell(Tick(), after_s=1.0)
    assert not bench.reported


def test_units_that_took_over_are_reported_running_too() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"))
    (running,) = set(bench.core.table.records) - {"b"}
    bench.ended(running, SHORT, then="b")
    bench.confirmed()
    bench.tell(Tick(), after_s=0.02)
    assert bench.letters["b"] == "R"


def test_stale_running_means_that_the_unit_is_not_ours() -> None:
    bench = Bench(1)
    bench.opened(unit("a"))
    bench.started("a")
    bench.tell(Tick(), after_s=0.02)
    bench.confirmed("0")
    assert bench.signals == [("a", 9)]


def test_what_redis_does_not_know_is_said_again_for_a_while() -> None:
    bench = Bench(1)
    bench.opened(unit("a"))
    bench.ended("a")
    item = bench.reported[0]
    said = 0
    while not bench.core.table.reports.is_empty:
        bench.confirmed("3")
        assert not bench.reported
        bench.tell(Tick(), after_s=1.0)
        said += bench.reported == [item]
    assert said == 60


def test_what_redis_knows_again_is_settled() -> None:
    bench = Bench(1)
    bench.opened(unit("a", max_restarts=0))
    bench.confirmed("3")
    assert not bench.every(SendStart)
    bench.tell(Tick(), after_s=1.0)
    bench.confirmed("1")
    assert bench.placed == {"a": [0]}


def test_an_answer_of_another_length_is_an_error() -> None:
    bench = Bench(1)
    bench.opened(unit("a"))
    bench.ended("a")
    with pytest.raises(ProtocolError, match="1 items was answered with 2"):
        bench.confirmed("11")


def test_reports_of_others_go_the_same_way() -> None:
    bench = Bench(1)
    item = ReportItem("old", 2, "D", end=end())
    bench.tell(ReportsFound([item]))
    assert bench.reported == [item]
    bench.tell(Doorbell())
    rejected = ReportItem("bad", 1, "F", "rejected", "forged")
    bench.tell(UnitsClaimed([], [rejected]))
    assert bench.every(Claim), "there may be more behind it"
    bench.confirmed()
    assert bench.reported == [rejected]


def test_an_idle_core_remembers_nothing() -> None:
    bench = Bench(2, executors=2)
    for n in range(300):
        bench.opened(unit(f"a{n}", walltime=5), unit(f"b{n}", cores=2), unit(f"c{n}", max_restarts=0))
        while bench.core.table.records or bench.core.table.reports.under_way:
            bench.confirmed()
            for name, record in list(bench.core.table.records.items()):
                if record.phase == "placed":
                    bench.ended(name, executor=record.executor)
    table, scheduler = bench.core.table, bench.core.scheduler
    assert not table.records
    assert table.reports.is_empty
    assert not table.reports._running
    assert not scheduler.queue._shapes
    assert not scheduler.chains.retracting
    assert list(scheduler.chains.widths()) == []
    assert len(table.deadlines) < 200


def test_a_server_that_forgot_hears_of_everything_that_runs_once_more_and_at_once() -> None:
    bench = Bench(3)
    bench.opened(unit("told"), unit("once", max_restarts=0), unit("young"), unit("waits"))
    bench.confirmed()
    bench.started("told")
    bench.tell(Tick(), after_s=0.03)
    bench.confirmed()
    bench.started("young")
    bench.tell(ServerForgot([ReportItem("gone", 1, "D")]))
    assert [(item.id, item.letter) for item in bench.reported] == [
        ("gone", "D"),
        ("told", "R"),
        ("once", "R"),
    ]
    bench.confirmed("133")
    bench.tell(Tick(), after_s=1.0)
    assert bench.letters == {"told": "R", "once": "R", "young": "R"}, "until its client has brought it back"


@pytest.mark.parametrize("restarts", [0, 3])
def test_what_runs_goes_on_although_nobody_brings_it_back(restarts: int) -> None:
    bench = Bench(1)
    bench.opened(unit("a", max_restarts=restarts))
    if not restarts:
        bench.confirmed()
    bench.started("a")
    bench.tell(Tick(), after_s=0.03)
    bench.tell(ServerForgot([]))
    for _ in range(62):
        if bench.core.table.reports.under_way:
            bench.confirmed("3")
        bench.tell(Tick(), after_s=1.0)
    assert bench.core.table.reports.is_empty
    assert not bench.core.table.records["a"].is_told_to_end


def test_what_was_to_start_at_most_once_does_not_start_when_nobody_brings_it_back() -> None:
    bench = Bench(1)
    bench.opened(unit("a", max_restarts=0))
    for _ in range(62):
        if bench.core.table.reports.under_way:
            bench.confirmed("3")
        bench.tell(Tick(), after_s=1.0)
    assert not bench.core.table.records


# --- claims ---


def test_the_first_event_brings_the_first_claim() -> None:
    bench = Bench(16)
    bench.tell(Tick())
    assert bench.only(Claim) == Claim(16, 16, 1)


def test_one_claim_at_a_time() -> None:
    bench = Bench(16)
    bench.tell(Doorbell())
    assert not [action for action in bench.tell(Doorbell()) if isinstance(action, Claim)]


def test_an_empty_reply_is_followed_by_silence_until_the_bell() -> None:
    bench = Bench(4)
    bench.opened()
    assert not bench.every(Claim)
    bench.tell(Tick(), after_s=60)
    assert not bench.every(Claim)
    bench.tell(Doorbell())
    assert bench.only(Claim) == Claim(4, 4, 1)


def test_a_bell_that_rings_during_a_claim_is_heard() -> None:
    bench = Bench(4)
    bench.tell(Doorbell())
    bench.tell(Doorbell())
    bench.claimed()
    assert bench.every(Claim)


def test_a_bell_without_room_is_passed_on_and_not_forgotten() -> None:
    bench = Bench(1)
    bench.opened(unit("a"))
    bench.tell(Doorbell())
    assert bench.only(Claim) == PASS_ON
    bench.claimed()
    bench.tell(Tick())
    assert not bench.every(Claim)
    bench.ended("a")
    assert bench.only(Claim) == Claim(1, 1, 1)


def test_a_pilot_that_drains_passes_the_bell_on() -> None:
    bench = Bench(2)
    bench.opened(unit("a"))
    bench.tell(DrainRequested())
    bench.tell(Doorbell())
    assert bench.only(Claim) == PASS_ON


def test_a_full_reply_is_followed_by_the_next_claim_when_there_is_room() -> None:
    bench = Bench(2)
    bench.opened(unit("a"), unit("b"))
    assert not bench.every(Claim)
    bench.ended("a")
    assert bench.only(Claim) == Claim(1, 1, 1)


def test_a_reply_that_fills_the_cores_is_full_too() -> None:
    bench = Bench(4)
    bench.opened(unit("a", cores=2), unit("b", cores=2))
    bench.ended("a")
    assert bench.only(Claim) == Claim(2, 2, 1)


def test_work_for_a_tenth_of_a_second_is_fetched_ahead() -> None:
    bench = short_units_run(2)
    bench.tell(Doorbell())
    bench.claimed(unit("x"))
    bench.tell(Doorbell())
    claim = bench.only(Claim)
    assert 10 <= claim.want <= 40
    assert claim.want == claim.cores


def test_beside_a_reservation_only_what_may_overtake_is_claimed() -> None:
    bench = Bench(8, settings=CoreSettings(most_overtakes=2))
    bench.opened(unit("old"), unit("large", cores=7, gpus=0), unit("wide", cores=8))
    assert bench.placed == {"old": [0], "large": [1, 2, 3, 4, 5, 6, 7]}
    bench.ended("old")
    assert bench.only(Claim) == Claim(1, 1, 0)
    bench.claimed()
    bench.ended("large")
    assert bench.placed == {"wide": [0, 1, 2, 3, 4, 5, 6, 7]}


def test_room_for_larger_units_is_a_reason_to_ask_again() -> None:
    bench = Bench(8, settings=CoreSettings(most_overtakes=4))
    bench.opened(unit("old", cores=6), unit("large", cores=8))
    assert bench.only(Claim) == Claim(2, 2, 0)
    bench.claimed()  # nothing so small; perhaps something larger
    bench.tell(Tick(), after_s=0.1)
    assert not bench.every(Claim)
    bench.ended("old")
    assert bench.placed == {"large": [0, 1, 2, 3, 4, 5, 6, 7]}
    bench.ended("large")
    assert bench.only(Claim) == Claim(8, 8, 1)


def test_a_link_that_is_back_voids_the_claim() -> None:
    bench = Bench(4)
    bench.tell(Doorbell())
    bench.tell(LinkBack())
    assert bench.only(Claim) == Claim(4, 4, 1)
    assert not bench.every(Report)
