"""Choosing cores from a bitmap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_agent.scheduler.placement import Shape, choose_cores, core_numbers, first_core


@pytest.mark.parametrize(
    ("free", "count", "chosen"),
    [
        (0b1111, 1, 0b0001),
        (0b1000, 1, 0b1000),
        (0b1111, 4, 0b1111),
        (0b1110_1011, 2, 0b0000_0011),
        (0b1110_1011, 3, 0b1110_0000),  # neighbors, though higher
        (0b1010_1011, 3, 0b0000_1011),  # no three neighbors: the lowest
        (0b1110_0111, 5, 0b0110_0111),
        (1 << 200 | 1 << 201, 2, 1 << 200 | 1 << 201),
    ],
)
def test_neighbors_are_preferred_then_low_numbers(free: int, count: int, chosen: int) -> None:
    assert choose_cores(free, count) == chosen


@given(st.integers(1, (1 << 70) - 1), st.data())
def test_exactly_the_asked_number_of_free_cores_is_chosen(free: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, bin(free).count("1")))
    chosen = choose_cores(free, count)
    assert chosen & ~free == 0
    assert bin(chosen).count("1") == count
    if any((free >> start) & ((1 << count) - 1) == (1 << count) - 1 for start in range(70)):
        assert core_numbers(chosen) == list(range(first_core(chosen), first_core(chosen) + count))


@given(st.integers(0, (1 << 70) - 1))
def test_the_numbers_are_those_of_the_bits(cores: int) -> None:
    assert sum(1 << core for core in core_numbers(cores)) == cores


def test_only_one_core_alone_is_plain() -> None:
    assert Shape(1).is_plain
    assert not any(shape.is_plain for shape in (Shape(2), Shape(1, 1), Shape(1, 0, 5)))
