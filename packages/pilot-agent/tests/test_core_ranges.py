"""Core numbers are written as Linux writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_agent.core_ranges import core_ranges


@pytest.mark.parametrize(
    ("cores", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([0, 1], "0-1"),
        ([4, 0, 1, 2], "0-2,4"),
        ([8, 6, 4], "4,6,8"),
        ([9, 8, 0], "0,8-9"),
    ],
)
def test_runs_are_named_by_their_ends(cores: list[int], text: str) -> None:
    assert core_ranges(cores) == text


@given(st.lists(st.integers(0, 70), min_size=1, unique=True))
def test_numbers_and_text_name_the_same_cores(cores: list[int]) -> None:
    named: list[int] = []
    for run in core_ranges(cores).split(","):
        first, _, last = run.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(cores)
