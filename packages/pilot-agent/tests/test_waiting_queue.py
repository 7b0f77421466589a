"""Who goes next among waiting units."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core_builders import record
from pilot_agent.scheduler.placement import Shape
from pilot_agent.scheduler.queue import WaitingQueue
from pilot_agent.unit_record import UnitRecord


def drained(queue: WaitingQueue) -> list[str]:
    names = []
    while (first := queue.first()) is not None:
        names.append(first.id)
        queue.remove(first)
    return names


def test_priority_then_arrival_across_shapes() -> None:
    queue = WaitingQueue()
    for arrival, (name, cores, priority) in enumerate(
        [("a", 1, 0), ("b", 2, 0), ("c", 2, 5), ("d", 1, 5), ("e", 1, -1)]
    ):
        queue.push(record(name, arrival, cores=cores, priority=priority))
    assert queue.cores == 7
    assert [waiting.id for waiting in queue.last_first()] == ["e", "b", "a", "d", "c"]
    assert drained(queue) == ["c", "d", "a", "b", "e"]
    assert (len(queue), queue.cores) == (0, 0)


def test_shapes_can_be_left_out() -> None:
    queue = WaitingQueue()
    small, large = record("small", 2), record("large", 1, cores=4)
    queue.push(small)
    queue.push(large)
    assert queue.first() is large
    assert queue.first({Shape(4)}) is small
    assert queue.first({Shape(4), Shape(1)}) is None


def test_a_unit_that_comes_back_has_its_old_place() -> None:
    queue = WaitingQueue()
    first, second = record("first", 1), record("second", 2)
    queue.push(first)
    queue.push(second)
    queue.remove(first)
    queue.push(first)
    assert drained(queue) == ["first", "second"]


def test_what_was_taken_from_the_middle_is_forgotten() -> None:
    queue = WaitingQueue()
    kept = record("kept", 0)
    queue.push(kept)
    for arrival in range(1, 1000):
        passing = record(f"u{arrival}", arrival)
        queue.push(passing)
        queue.remove(passing)
    assert len(queue._shapes[Shape(1)].heap) < 50
    assert drained(queue) == ["kept"]
    assert not queue._shapes


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["push", "first", "any"]),
            st.integers(1, 3),
            st.integers(-2, 2),
            st.integers(0, 99),
        ),
        max_size=120,
    )
)
def test_it_is_a_sorted_list_only_faster(steps: list[tuple[str, int, int, int]]) -> None:
    queue = WaitingQueue()
    model: list[UnitRecord] = []
    for arrival, (step, cores, priority, index) in enumerate(steps):
        if step == "push" or not model:
            added = record(f"u{arrival}", arrival, cores=cores, priority=priority)
            queue.push(added)
            model.append(added)
            model.sort(key=lambda waiting: (waiting.rank, waiting.arrival))
        else:
            gone = model.pop(0 if step == "first" else index % len(model))
            assert gone in queue
            queue.remove(gone)
            assert gone not in queue
        assert queue.first() is (model[0] if model else None)
        assert (len(queue), queue.cores) == (len(model), sum(waiting.shape.cores for waiting in model))
    assert list(queue.last_first()) == model[::-1]
