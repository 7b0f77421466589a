"""What is taken from nodes and given back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilot_agent.scheduler.placement import GPU, Placement, Shape
from pilot_agent.scheduler.slots import NodeSpec, Slots


def taken(slots: Slots, shape: Shape) -> Placement:
    placement = slots.take(shape)
    assert placement is not None
    return placement


def test_lowest_cores_of_the_first_node_go_first() -> None:
    slots = Slots([NodeSpec(2), NodeSpec(2)])
    placements = [taken(slots, Shape(1)) for _ in range(4)]
    assert placements == [Placement(0, 1), Placement(0, 2), Placement(1, 1), Placement(1, 2)]
    assert slots.take(Shape(1)) is None
    assert slots.free_cores == 0


def test_gpus_are_given_by_id_and_given_back() -> None:
    slots = Slots([NodeSpec(4, gpus=3)])
    one, two = Shape(1, GPU), Shape(1, 2 * GPU)
    first, second = taken(slots, two), taken(slots, one)
    assert (first.gpus, second.gpus) == ((0, 1), (2,))
    assert slots.take(one) is None
    slots.give(first, two)
    assert taken(slots, one).gpus == (0,)


def test_memory_is_counted_where_the_node_says_how_much_it_has() -> None:
    slots = Slots([NodeSpec(4, memory_mb=100)])
    first = taken(slots, Shape(1, 0, 80))
    assert slots.take(Shape(1, 0, 30)) is None
    slots.give(first, Shape(1, 0, 80))
    assert slots.take(Shape(1, 0, 100)) is not None
    assert Slots([NodeSpec(4)]).take(Shape(1, 0, 10**9)) is not None


def test_a_refused_unit_takes_nothing() -> None:
    slots = Slots([NodeSpec(2, gpus=1, memory_mb=100)])
    for shape in (Shape(3), Shape(1, 2 * GPU), Shape(1, 0, 101)):
        assert slots.take(shape) is None
        assert not slots.fits_ever(shape)
    assert taken(slots, Shape(2, GPU, 100)) == Placement(0, 3, (0,))


def test_a_node_can_be_left_out() -> None:
    slots = Slots([NodeSpec(1), NodeSpec(1)])
    placement = slots.take(Shape(1), besides=0b01)
    assert placement is not None
    assert placement.node == 1
    assert slots.take(Shape(1), besides=0b01) is None


def test_neighboring_cores_belong_to_one_executor() -> None:
    slots = Slots([NodeSpec(5, executors=2), NodeSpec(2, executors=2)])
    assert slots.nodes[0].owners == [0, 0, 0, 1, 1]
    assert slots.nodes[1].owners == [2, 3]
    assert slots.executor_of(Placement(0, 0b11100)) == 0
    assert slots.executor_of(Placement(1, 0b10)) == 3


def test_other_executors_of_the_node_take_over() -> None:
    slots = Slots([NodeSpec(4, executors=2), NodeSpec(1)])
    slots.lose_executor(0)
    assert slots.nodes[0].owners == [1, 1, 1, 1]
    slots.lose_executor(0)
    slots.lose_executor(1)
    assert slots.free_cores == 1, "a node without an executor is out of use"
    placement = taken(slots, Shape(1))
    assert placement.node == 1
    slots.revive_executor(1)
    slots.revive_executor(1)
    assert slots.free_cores == 4
    slots.revive_executor(0)
    assert slots.nodes[0].owners == [0, 0, 1, 1]


def test_the_roomiest_node_that_could_run_the_unit_is_named() -> None:
    slots = Slots([NodeSpec(8), NodeSpec(6), NodeSpec(2)])
    taken(slots, Shape(5))
    assert slots.roomiest(Shape(4)) == {1: 1}
    assert slots.roomiest(Shape(8)) == {0: 1}
    assert slots.roomiest(Shape(9, ranks=3)) == {0: 1, 1: 2}


def test_names_of_cores_are_remembered_only_so_long() -> None:
    slots = Slots([NodeSpec(16)])
    for cores in range(1, 10_000):
        assert slots.text(cores)
        assert slots.numbers(cores)
    assert slots.text(0b1011) == "0-1,3"
    assert slots.numbers(0b1011) == [0, 1, 3]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), st.integers(0, 60), st.booleans()), max_size=40),
)
def test_nothing_is_given_twice_and_all_comes_back(steps: list[tuple[int, int, int, bool]]) -> None:
    slots = Slots([NodeSpec(6, 2, 100), NodeSpec(4, 3, 100)])
    held: list[tuple[Placement, Shape]] = []
    for cores, gpus, memory_mb, gives in steps:
        if gives and held:
            slots.give(*held.pop(0))
        shape = Shape(cores, gpus * GPU, memory_mb)
        placement: Placement | None = slots.take(shape)
        if placement is not None:
            for other, _ in held:
                if other.node == placement.node:
                    assert not other.cores & placement.cores
                    assert not set(other.gpus) & set(placement.gpus)
            held.append((placement, shape))
            for node in slots.nodes:
                assert node.free_memory_mb >= 0
    for entry in held:
        slots.give(*entry)
    assert [(node.free, node.free_count, node.gpus.whole, node.free_memory_mb) for node in slots.nodes] == [
        (0b111111, 6, [0, 1], 100),
        (0b1111, 4, [0, 1, 2], 100),
    ]
    assert slots.free_cores == 10
