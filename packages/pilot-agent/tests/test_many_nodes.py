"""Units on several nodes: where their ranks go, what is kept for them, how they end, what becomes of lost nodes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_builders import Bench, end, unit
from pilot_agent.actions import SendSignal, SendSweep
from pilot_agent.core import CoreSettings
from pilot_agent.events import (
    CancelRequested,
    ExecutorLost,
    ExecutorSilent,
    ExecutorUp,
    NodeGone,
    Swept,
    Tick,
)
from pilot_agent.scheduler.node import Node, NodeSpec
from pilot_agent.scheduler.placement import GPU, Placement, Shape, core_numbers, rank_slots
from pilot_agent.scheduler.slots import Slots

KILL = 9


def spread_of(placement: Placement | None) -> dict[int, int]:
    """Return how many ranks are on which nodes."""
    assert placement is not None
    return {part.node: part.ranks for part in placement.parts}


@pytest.mark.parametrize(
    ("ranks", "policy", "expected"),
    [
        (4, "pack", {0: 4}),
        (6, "pack", {2: 6}),
        (7, "pack", {0: 1, 2: 6}),
        (12, "pack", {0: 4, 1: 2, 2: 6}),
        (3, "spread", {0: 1, 1: 1, 2: 1}),
        (7, "spread", {0: 2, 1: 2, 2: 3}),
        (3, "whole_nodes", {0: 3}),
        (8, "whole_nodes", {0: 2, 2: 6}),
    ],
)
def test_ranks_go_where_the_policy_says(ranks: int, policy: str, expected: dict[int, int]) -> None:
    slots = Slots([NodeSpec(4), NodeSpec(2), NodeSpec(6)])
    assert spread_of(slots.take(Shape(ranks, ranks=ranks, policy=policy))) == expected


def test_whole_nodes_are_taken_whole_and_only_idle_ones() -> None:
    slots = Slots([NodeSpec(4), NodeSpec(4)])
    slots.take(Shape(1))
    placement = slots.take(Shape(2, ranks=2, policy="whole_nodes"))
    assert placement == Placement(1, 0b1111, (), 2)
    assert slots.free_cores == 3
    assert slots.take(Shape(1, policy="whole_nodes")) is None
    assert [slot.cores for slot in rank_slots(placement, Shape(2, ranks=2, policy="whole_nodes"))] == [
        [0],
        [1],
    ]


def test_a_unit_that_is_to_spread_goes_to_the_emptiest_node() -> None:
    slots = Slots([NodeSpec(4), NodeSpec(4)])
    slots.take(Shape(1))
    assert spread_of(slots.take(Shape(1, policy="spread"))) == {1: 1}


def test_ranks_have_neighboring_cores_and_gpus_of_their_own() -> None:
    slots = Slots([NodeSpec(4, gpus=4), NodeSpec(4, gpus=2)])
    shape = Shape(6, 6 * GPU, ranks=3)
    placement = slots.take(shape)
    assert placement is not None
    assert [tuple(slot) for slot in rank_slots(placement, shape)] == [
        (0, [0, 1], (0, 1)),
        (0, [2, 3], (2, 3)),
        (1, [0, 1], (0, 1)),
    ]


def test_shares_fill_a_gpu_before_another_one_is_broken_up() -> None:
    slots = Slots([NodeSpec(8, gpus=2)])
    half, third = Shape(1, GPU // 2), Shape(1, GPU // 3)
    first, second = slots.take(half), slots.take(third)
    assert first is not None
    assert second is not None
    assert (first.gpus, second.gpus) == ((0,), (0,))
    whole = slots.take(Shape(1, GPU))
    assert whole is not None
    assert whole.gpus == (1,)
    assert slots.take(half) is None
    slots.give(first, half)
    slots.give(second, third)
    assert slots.nodes[0].gpus.whole == [0]
    ranks = Shape(4, 2 * GPU, ranks=4)
    slots.give(whole, Shape(1, GPU))
    placement = slots.take(ranks)
    assert placement is not None
    assert placement.gpus == (0, 0, 1, 1)


def test_the_memory_of_ranks_counts_on_each_node() -> None:
    slots = Slots([NodeSpec(8, memory_mb=100), NodeSpec(8, memory_mb=50)])
    assert spread_of(slots.take(Shape(3, memory_mb=150, ranks=3))) == {0: 2, 1: 1}
    assert slots.take(Shape(1, memory_mb=1)) is None


def opened(nodes: int = 2, cores: int = 2, **needs: Any) -> Bench:
    """Return a bench on whose nodes one MPI unit, ``mpi``, runs alone."""
    bench = Bench(cores, nodes=nodes)
    bench.opened(unit("mpi", cores=nodes * cores, ranks=nodes * cores, **needs))
    return bench


def test_an_order_names_node_cores_and_gpus_of_each_rank() -> None:
    bench = opened()
    (order,) = bench.orders
    assert order["ranks"] == [[0, [0], ()], [0, [1], ()], [1, [0], ()], [1, [1], ()]]
    assert (order["cores"], order["alone"]) == ([0, 1], True)
    bench.opened(unit("single"))
    assert "ranks" not in opened(nodes=1, placement="whole_nodes").orders[0] or bench.core.free_cores == 0


def test_it_has_ended_when_its_other_nodes_are_swept() -> None:
    bench = opened(nodes=3)
    bench.ended("mpi")
    assert {send.executor: send.sweeps for send in bench.every(SendSweep)} == {
        1: [("mpi", 1, KILL)],
        2: [("mpi", 1, KILL)],
    }
    assert not bench.reported
    assert bench.core.free_cores == 0
    bench.tell(Swept(1, ["mpi"]))
    assert not bench.reported
    bench.tell(Swept(2, ["mpi", "unknown"]))
    (item,) = bench.reported
    assert (item.letter, item.cores, item.nodes) == ("D", "0-1;0-1;0-1", (0, 1, 2))
    assert bench.core.free_cores == 6


def test_a_kill_reaches_all_nodes_and_its_answer_is_not_taken_for_the_last_one() -> None:
    bench = opened()
    bench.tell(CancelRequested(["mpi"]))
    assert bench.only(SendSignal).signals == [("mpi", 15)]
    assert not bench.every(SendSweep), "the launcher passes SIGTERM on"
    bench.tell(Tick(), after_s=10.0)
    assert bench.only(SendSweep).sweeps == [("mpi", 1, KILL)]
    bench.ended("mpi", end(None, KILL, "signal"))
    bench.tell(Swept(1, ["mpi"]))
    assert not bench.reported
    bench.tell(Swept(1, ["mpi"]))
    assert bench.letters == {"mpi": "C"}


def test_when_its_first_node_is_lost_the_others_are_swept_before_it_is_told() -> None:
    bench = opened()
    bench.tell(ExecutorLost(0))
    assert bench.only(SendSweep).executor == 1
    assert not bench.reported
    bench.tell(Swept(1, ["mpi"]))
    assert bench.letters == {"mpi": "L"}


def test_when_another_node_is_silent_it_is_told_to_end_and_is_lost_with_that_node() -> None:
    bench = opened()
    bench.tell(ExecutorSilent(1))
    assert bench.signals == [("mpi", 15)]
    bench.ended("mpi", end(1, reason="exit"))
    assert not bench.every(SendSweep), "nobody is there to be asked"
    assert not bench.reported, "its ranks there may still run"
    bench.tell(ExecutorLost(1))
    assert bench.letters == {"mpi": "L"}
    bench.tell(ExecutorUp(1))
    assert bench.core.free_cores == 4


def test_a_sweep_ends_with_the_node_that_was_to_do_it() -> None:
    bench = opened()
    bench.ended("mpi")
    bench.tell(ExecutorLost(1))
    assert bench.letters == {"mpi": "D"}


def test_a_launcher_that_sees_first_that_a_node_is_lost_has_not_failed() -> None:
    bench = opened()
    bench.ended("mpi", end(1, reason="exit"))
    assert not bench.reported
    bench.tell(ExecutorLost(1))
    (item,) = bench.reported
    assert (item.letter, item.reason) == ("L", "lost")


def test_a_cancel_while_nodes_are_swept_counts() -> None:
    bench = opened()
    bench.ended("mpi")
    bench.tell(CancelRequested(["mpi"]))
    assert not bench.signals
    bench.tell(Swept(1, ["mpi"]))
    assert bench.letters == {"mpi": "C"}


def test_what_does_not_fit_without_a_node_that_is_gone_goes_back_after_a_while() -> None:
    bench = Bench(2, nodes=2)
    bench.opened(unit("old"), unit("large", cores=4, ranks=4))
    bench.tell(ExecutorLost(1))
    assert "large" in bench.core.table.records, "the node may come back"
    bench.tell(NodeGone(1))
    assert bench.core.capacity() == (2, 2, 0, 0)
    bench.tell(Tick(), after_s=1.0)
    while bench.core.table.reports.under_way and not bench.letters.get("large"):
        bench.confirmed()
    assert bench.letters.get("large") == "H"
    bench.tell(ExecutorUp(1))
    assert bench.core.capacity() == (4, 2, 0, 0)


def test_what_even_all_nodes_could_not_run_is_refused() -> None:
    bench = Bench(2, nodes=2, gpus=1)
    bench.opened(unit("x", cores=6, ranks=3, gpus=3))
    (item,) = bench.reported
    assert item.message == (
        "compute unit x asks for 3 ranks of 2 cores, 1 GPU each, the pilot's 2 nodes have room for 2; lower "
        "number_of_processes or what each asks for, or submit it to a larger pilot"
    )


def test_cores_are_kept_on_several_nodes_and_overtaken_a_bounded_number_of_times() -> None:
    bench = Bench(2, nodes=3, settings=CoreSettings(most_overtakes=1))
    bench.opened(
        unit("a"), unit("b"), unit("c"), unit("large", cores=4, ranks=2), unit("s0"), unit("s1"), unit("s2")
    )
    reservation = bench.core.scheduler.reservation
    assert reservation is not None
    assert len(reservation.shares) == 2
    held = set(bench.core.table.records) - {"large"}
    placed = {name for name in held if bench.core.table.records[name].placement is not None}
    assert len(placed & {"s0", "s1", "s2"}) <= 2, "one beside it, one overtakes"


SHAPES = st.builds(
    lambda width, ranks, gpus, memory_mb, policy: Shape(
        width * ranks, gpus * ranks, memory_mb * ranks, ranks, policy
    ),
    st.integers(1, 3),
    st.integers(1, 8),
    st.sampled_from([0, 0, 0, 250, 500, GPU, 2 * GPU]),
    st.sampled_from([0, 0, 10, 40]),
    st.sampled_from(["pack", "pack", "spread", "whole_nodes"]),
)


@settings(max_examples=200, deadline=None)
@given(
    specs=st.lists(
        st.builds(NodeSpec, st.integers(1, 6), st.integers(0, 3), st.sampled_from([0, 100]), st.just(1)),
        min_size=1,
        max_size=5,
    ),
    steps=st.lists(st.tuples(SHAPES, st.booleans()), max_size=40),
)
def test_nothing_is_given_twice_and_all_comes_back(
    specs: list[NodeSpec], steps: list[tuple[Shape, bool]]
) -> None:
    slots = Slots(specs)
    held: list[tuple[Placement, Shape]] = []
    for shape, gives in steps:
        if gives and held:
            slots.give(*held.pop(0))
        before = slots.free_cores
        placement = slots.take(shape)
        if placement is None:
            assert slots.free_cores == before
            assert held or not slots.fits_ever(shape), f"{shape} fits, and nothing else runs"
            continue
        assert slots.fits_ever(shape)
        ranks = rank_slots(placement, shape)
        assert len(ranks) == shape.ranks
        assert all(len(slot.cores) == shape.rank.cores for slot in ranks)
        held.append((placement, shape))
        check_disjoint(held, specs)
    for entry in held:
        slots.give(*entry)
    assert slots.free_cores == sum(spec.cores for spec in specs)
    for node, spec in zip(slots.nodes, specs):
        assert (node.free_count, node.free_memory_mb) == (spec.cores, spec.memory_mb)
        assert (node.gpus.whole, node.gpus.shared) == (list(range(spec.gpus)), {})


def check_disjoint(held: list[tuple[Placement, Shape]], specs: list[NodeSpec]) -> None:
    cores: list[tuple[int, int]] = []
    gpus: dict[tuple[int, int], int] = {}
    memory_mb: dict[int, int] = {}
    for placement, shape in held:
        for part in placement.parts:
            cores += [(part.node, core) for core in core_numbers(part.cores)]
            memory_mb[part.node] = memory_mb.get(part.node, 0) + part.ranks * shape.rank.memory_mb
            for gpu in part.gpus:
                gpus[part.node, gpu] = gpus.get((part.node, gpu), 0) + min(shape.rank.gpus, GPU)
    assert len(cores) == len(set(cores)), "a core is taken twice"
    assert all(taken <= GPU for taken in gpus.values()), "a GPU is taken twice"
    assert all(taken <= specs[node].memory_mb for node, taken in memory_mb.items() if specs[node].memory_mb)


FULL = {
    "cores": (NodeSpec(4), Shape(4), Shape(1)),
    "GPUs": (NodeSpec(4, gpus=1), Shape(1, GPU), Shape(1, GPU)),
    "shares": (NodeSpec(4, gpus=1), Shape(1, GPU // 2), Shape(1, 600)),
    "memory": (NodeSpec(4, memory_mb=100), Shape(1, memory_mb=80), Shape(1, memory_mb=60)),
}


@pytest.mark.parametrize("nodes", [10, 1000])
@pytest.mark.parametrize("what", FULL)
def test_a_unit_costs_as_many_looks_at_nodes_whatever_their_number(
    nodes: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, filling, wanted = FULL[what]
    slots = Slots([spec] * nodes)
    for _ in range(nodes - 1):
        slots.take(filling)
    looks = 0
    room = Node.room

    def counted(node: Node, shape: Shape) -> int:
        nonlocal looks
        looks += 1
        return room(node, shape)

    monkeypatch.setattr(Node, "room", counted)
    assert slots.take(wanted) is not None
    for shape in (wanted, wanted._replace(policy="spread")):
        slots.take(shape)
    assert looks <= 6
