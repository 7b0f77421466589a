"""Starting units: events in, actions out. Ends, reports and claims have files of their own."""

from __future__ import annotations

from typing import Any

import pytest

from core_builders import SHORT, Bench, Request, end, short_units_run, unit
from pilot_agent.actions import Claim, Report, SendPlace, SendRetract, SendStart
from pilot_agent.core import CoreSettings
from pilot_agent.events import (
    CancelRequested,
    ClaimedUnit,
    ExecutorEvents,
    ExecutorLost,
    ExecutorSilent,
    ExecutorUp,
    Tick,
    UnitsClaimed,
)
from pilot_agent.scheduler.placement import Placement


def test_an_order_gets_cores_width_and_attempt() -> None:
    bench = Bench(4, gpus=2)
    bench.opened(unit("a", attempt=3, cores=2, gpus=1))
    start = bench.only(SendStart)
    assert start.executor == 0
    assert start.orders == [
        {"id": "a", "exe": "/bin/true", "env": {}, "attempt": 3, "width": 2, "cores": [0, 1], "gpus": [0]}
    ]


def test_units_are_sent_to_the_executor_of_their_first_core() -> None:
    bench = Bench(4, executors=2)
    bench.opened(unit("a"), unit("b"), unit("c"), unit("d"))
    assert [
        (start.executor, [order["id"] for order in start.orders]) for start in bench.every(SendStart)
    ] == [
        (0, ["a", "b"]),
        (1, ["c", "d"]),
    ]


def test_several_nodes_are_filled_one_after_the_other() -> None:
    bench = Bench(2, nodes=2)
    bench.opened(unit("a", cores=2), unit("b", cores=2))
    assert [(start.executor, start.orders[0]["cores"]) for start in bench.every(SendStart)] == [
        (0, [0, 1]),
        (1, [0, 1]),
    ]


def test_higher_priority_starts_first() -> None:
    bench = Bench(1)
    bench.opened(unit("a"), unit("b"), unit("c", priority=3))
    assert bench.placed == {"c": [0]}
    bench.ended("c")
    assert bench.placed == {"a": [0]}


def test_the_same_claim_again_changes_nothing() -> None:
    bench = Bench(2)
    bench.opened(unit("a"))
    bench.claimed(unit("a"))
    assert not bench.every(SendStart)


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        (
            {"cores": 64},
            "compute unit x asks for 64 cores, the pilot has 16; lower number_of_processes or submit it to a larger pilot",
        ),
        (
            {"gpus": 3},
            "compute unit x asks for 3 GPUs, the pilot has 2; lower gpus_per_process or submit it to a larger pilot",
        ),
        (
            {"memory_mb": 4000},
            "compute unit x asks for 4000 MB, the pilot has 1000 MB; lower memory_mb or submit it to a larger pilot",
        ),
    ],
)
def test_what_can_never_run_is_rejected(needs: dict[str, Any], message: str) -> None:
    bench = Bench(16, gpus=2, memory_mb=1000)
    bench.opened(ClaimedUnit("x", 1, Request(**needs), {}))
    (item,) = bench.reported
    assert (item.letter, item.reason, item.message) == ("F", "rejected", message)


def test_a_node_must_have_all_of_it_together() -> None:
    bench = Bench(4, nodes=2)
    bench.opened(unit("x", cores=5))
    assert "the pilot's nodes have at most 4" in bench.reported[0].message


# --- at most once ---


def test_at_most_once_units_start_when_redis_has_confirmed() -> None:
    bench = Bench(1)
    bench.opened(unit("a", max_restarts=0))
    assert not bench.every(SendStart)
    assert bench.letters == {"a": "R"}
    bench.confirmed()
    assert bench.placed == {"a": [0]}
    bench.ended("a")
    assert bench.letters == {"a": "D"}


def test_at_most_once_units_that_are_not_ours_any_more_are_forgotten() -> None:
    bench = Bench(1)
    bench.opened(unit("a", max_restarts=0), unit("b"))
    bench.confirmed("0")
    assert bench.placed == {"b": [0]}
    assert not bench.reported


def test_a_confirmation_that_was_given_before_counts() -> None:
    bench = Bench(1)
    bench.opened(unit("a", max_restarts=0))
    bench.confirmed("2")
    assert bench.placed == {"a": [0]}


# --- chains ---


def test_long_units_are_not_held_ahead() -> None:
    bench = Bench(2)
    bench.opened(*(unit(f"u{n}") for n in range(6)))
    assert bench.placed == {"u0": [0], "u1": [1]}
    bench.ended("u0", end(run_s=5.0))
    assert bench.placed == {"u2": [0]}


def test_executors_hold_short_units_ahead() -> None:
    bench = short_units_run()
    bench.claimed(*(unit(f"u{n}") for n in range(60)))
    chained = [name for name, cores in bench.placed.items() if cores is None]
    assert chained == [f"u{n}" for n in range(len(chained))]
    assert 10 <= len(chained) <= 40, "about 100 ms of 200 units per second"


def test_what_is_held_ahead_is_spread_as_what_runs() -> None:
    bench = short_units_run(3, executors=2)
    bench.claimed(*(unit(f"u{n}") for n in range(100)))
    counts = {start.executor: len(start.orders) for start in bench.every(SendStart)}
    assert counts[0] == pytest.approx(2 * counts[1], abs=2)


@pytest.mark.parametrize("needs", [{"gpus": 1}, {"memory_mb": 5}, {"max_restarts": 0}])
def test_only_cores_are_handed_over_and_only_without_asking(needs: dict[str, Any]) -> None:
    bench = Bench(1, gpus=1, memory_mb=100)
    for n in range(30):
        bench.opened(unit(f"s{n}"))
        bench.now_s += 0.005
        bench.ended(f"s{n}", SHORT)
    bench.opened(unit("runs"), ClaimedUnit("x", 1, Request(**needs), {"id": "x"}), unit("y"))
    assert bench.placed == {"runs": [0]}, "y must not overtake x by way of a chain"


def test_a_chained_unit_takes_over_the_cores() -> None:
    bench = short_units_run(2)
    bench.claimed(unit("next"))
    assert bench.placed == {"next": None}
    running = next(name for name in bench.core.table.records if name != "next")
    before = bench.core.table.records[running].placement
    bench.ended(running, SHORT, then="next")
    assert bench.core.table.records["next"].placement == before
    assert not bench.every(SendStart) + bench.every(SendPlace)
    assert bench.core.free_cores == 0


def test_a_chain_of_ends_in_one_frame_is_followed() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"), unit("c"))
    (running,) = set(bench.core.table.records) - {"b", "c"}
    ended = [[running, 1, SHORT, "b"], ["b", 1, SHORT, "c"], ["c", 1, SHORT, None]]
    bench.tell(ExecutorEvents(0, ended=ended))
    assert not bench.core.table.records
    assert bench.core.free_cores == 1


def test_cores_that_came_free_before_the_chain_arrived_are_given_to_it() -> None:
    bench = short_units_run(2)
    bench.claimed(unit("b"), unit("c"))
    running = next(name for name in bench.core.table.records if name not in "bc")
    bench.ended(running, SHORT)
    assert bench.only(SendPlace).places == [("c", [0])], "the newest: the least likely to have started"


def test_cores_given_too_late_come_back() -> None:
    bench = short_units_run(2)
    bench.claimed(unit("b"))
    first, second = (name for name in bench.core.table.records if name != "b")
    bench.ended(first, SHORT)
    assert bench.only(SendPlace).places == [("b", [0])]
    bench.ended(second, SHORT, then="b")  # it had started before it read that
    assert bench.core.table.records["b"].placement == Placement(0, 0b10)
    assert bench.core.free_cores == 1


def test_the_last_of_a_width_leaves_its_cores_to_the_chain_before_anyone_else() -> None:
    bench = short_units_run(2, width=2)
    bench.claimed(unit("wide", cores=2))
    assert bench.placed == {"wide": None}
    bench.claimed(unit("small", priority=1))
    (running,) = set(bench.core.table.records) - {"wide", "small"}
    bench.ended(running, SHORT)
    assert bench.only(SendPlace).places == [("wide", [0, 1])]


def test_an_idle_executor_gets_half_of_what_another_one_holds() -> None:
    bench = short_units_run(2, executors=2)
    bench.claimed(*(unit(name) for name in "abcd"))
    held = {start.executor: [order["id"] for order in start.orders] for start in bench.every(SendStart)}
    assert sorted(map(len, held.values())) == [2, 2]
    (running,) = (
        name for name, kept in bench.core.table.records.items() if kept.executor == 1 and name not in "abcd"
    )
    first, second = held[1]
    ended = [[running, 1, SHORT, first], [first, 1, SHORT, second], [second, 1, SHORT, None]]
    bench.tell(ExecutorEvents(1, ended=ended))
    assert (bench.only(SendRetract).executor, bench.only(SendRetract).unit_ids) == (0, held[0][1:])
    bench.tell(ExecutorEvents(0, retracted=held[0][1:]))
    assert (bench.only(SendStart).executor, list(bench.placed)) == (1, held[0][1:])


def test_what_does_not_start_soon_is_asked_back() -> None:
    bench = short_units_run(1)
    bench.claimed(unit("b"), unit("c"))
    bench.tell(Tick(), after_s=3.0)
    assert sorted(bench.only(SendRetract).unit_ids) == ["b", "c"]
    bench.tell(ExecutorEvents(0, retracted=["c", "b"]))
    assert not bench.every(SendStart), "the rate has faded: they wait here"
    bench.tell(Tick(), after_s=3.0)
    assert bench.letters == {"b": "H", "c": "H"}, "other pilots may have cores for them"


# --- large units ---


def test_small_units_overtake_into_what_the_large_one_leaves() -> None:
    bench = Bench(4, settings=CoreSettings(most_overtakes=0))
    bench.opened(unit("one"), unit("two"), unit("large", cores=3), unit("small"))
    assert bench.placed == {"one": [0], "two": [1], "small": [2]}
    bench.claimed(unit("more"))
    assert not bench.placed, "one core is left beside the three, and it is taken"
    bench.ended("small")
    assert bench.placed == {"more": [2]}
    bench.ended("one")
    bench.ended("two")
    assert bench.placed == {"large": [0, 1, 3]}


def test_a_bounded_number_may_take_reserved_cores() -> None:
    bench = Bench(2, settings=CoreSettings(most_overtakes=2))
    bench.opened(unit("old"), unit("large", cores=2), *(unit(f"s{n}") for n in range(9)))
    assert set(bench.placed) == {"old", "s0"}
    bench.ended("s0")
    assert set(bench.placed) == {"s1"}
    bench.ended("s1")
    assert not bench.placed
    bench.ended("old")
    assert bench.placed == {"large": [0, 1]}


def test_the_count_of_overtakes_outlives_a_more_important_unit() -> None:
    bench = Bench(2, settings=CoreSettings(most_overtakes=1))
    bench.opened(unit("old"), unit("large", cores=2), unit("s0"), unit("s1"))
    bench.claimed(unit("urgent", cores=2, priority=1))
    bench.tell(CancelRequested(["urgent"]))
    bench.ended("s0")
    assert not bench.placed
    assert bench.core.table.records["large"].overtaken == 1


def test_an_idle_gpu_is_kept_for_the_unit_that_waits_for_two() -> None:
    bench = Bench(8, gpus=2, settings=CoreSettings(most_overtakes=0))
    bench.opened(unit("old", gpus=1), unit("large", gpus=2), unit("one", gpus=1), unit("plain"))
    assert set(bench.placed) == {"old", "plain"}
    bench.ended("old")
    assert set(bench.placed) == {"large"}


def test_nothing_is_chained_past_a_unit_that_waits() -> None:
    bench = short_units_run(2)
    bench.claimed(unit("large", cores=2), unit("small"))
    assert not bench.placed
    assert isinstance(bench.tell(UnitsClaimed([])), list)
    assert not [action for action in bench.actions if isinstance(action, (Claim, Report))]


def test_a_wide_unit_whose_width_runs_is_chained_and_keeps_nothing_idle() -> None:
    bench = short_units_run(5, width=2)
    bench.claimed(unit("wide", cores=2), unit("small"))
    assert bench.placed == {"wide": None, "small": [4]}
    assert bench.core.scheduler.reservation is None


def test_who_takes_over_beside_a_reservation_stays_beside_it() -> None:
    bench = short_units_run(4)
    bench.claimed(unit("a"), unit("b"))
    bench.claimed(unit("large", cores=3, priority=1))
    running = next(name for name in bench.core.table.records if name.startswith("run"))
    bench.ended(running, SHORT)
    assert bench.only(SendPlace).places[0][0] == "b"
    bench.ended("b", SHORT, then="a")
    reservation = bench.core.scheduler.reservation
    assert reservation is not None
    assert (reservation.spares[0].cores, reservation.record.overtaken) == (0, 0)


def test_nothing_goes_to_an_executor_that_has_fallen_silent_and_what_ran_there_is_settled_when_it_is_lost() -> (
    None
):
    bench = Bench(1, nodes=2)
    bench.opened(unit("a"), unit("b"))
    bench.tell(ExecutorSilent(1))
    bench.opened(unit("c"))
    assert not bench.every(SendStart)
    bench.tell(ExecutorLost(1))
    (report,) = bench.every(Report)
    assert [(item.id, item.letter) for item in report.items] == [("b", "L")]
    bench.tell(ExecutorUp(1))
    assert [(start.executor, start.orders[0]["id"]) for start in bench.every(SendStart)] == [(1, "c")]


def test_a_unit_that_waits_for_redis_goes_back_when_its_executor_falls_silent() -> None:
    bench = Bench(1, nodes=2)
    bench.opened(unit("a"))
    bench.confirmed()
    bench.opened(unit("once", max_restarts=0))
    bench.tell(ExecutorSilent(1))
    bench.confirmed()
    assert not bench.every(SendStart)
    bench.tell(ExecutorLost(1))
    assert bench.letters == {"once": "U"}
