"""How many units to hold ahead."""

from __future__ import annotations

import pytest

from pilot_agent.rate import MOST_AHEAD, SHORT_RUN_S, Rates


def steady(
    per_s: float, run_s: float, width: int = 1, seconds: float = 2.0, rates: Rates | None = None
) -> Rates:
    rates = rates or Rates()
    rates.resume(width, 0.0)
    for step in range(1, int(seconds * 100) + 1):
        rates.note(width, round(per_s / 100), run_s * round(per_s / 100), step / 100)
    return rates


def test_nothing_is_held_ahead_while_nothing_is_known() -> None:
    rates = Rates()
    assert rates.ahead(1, 0.0) == 0.0
    rates.resume(1, 0.0)
    assert rates.ahead(1, 1.0) == 0.0
    assert rates.prefetch(1.0) == (0, 0)


@pytest.mark.parametrize("per_s", [200, 1000, 3000])
def test_a_tenth_of_a_second_of_work_is_held_ahead(per_s: int) -> None:
    assert steady(per_s, 0.001).ahead(1, 2.0) == pytest.approx(per_s / 10, rel=0.05)


def test_the_size_of_batches_does_not_matter() -> None:
    rates = Rates()
    rates.resume(1, 0.0)
    for step in range(1, 41):
        rates.note(1, 50, 0.05, step / 20)
    assert rates.ahead(1, 2.0) == pytest.approx(100, rel=0.05)


def test_ends_at_one_instant_count() -> None:
    rates = Rates()
    rates.resume(1, 5.0)
    rates.note(1, 10, 0.01, 5.0)
    assert rates.ahead(1, 5.0) > 0


def test_nothing_is_held_ahead_of_long_units() -> None:
    assert steady(200, 1.1 * SHORT_RUN_S).ahead(1, 2.0) == 0.0
    assert steady(200, 0.9 * SHORT_RUN_S).ahead(1, 2.0) > 0.0


def test_one_long_unit_is_enough_to_be_careful() -> None:
    rates = steady(200, 0.001)
    rates.note(1, 1, 60.0, 2.0)
    assert rates.ahead(1, 2.0) == 0.0


def test_silence_lets_the_rate_fade() -> None:
    rates = steady(1000, 0.001)
    assert 0 < rates.ahead(1, 2.3) < 50
    assert rates.ahead(1, 4.0) == 0.0


def test_idle_time_is_not_slowness() -> None:
    rates = steady(1000, 0.001)
    rates.resume(1, 1000.0)
    rates.note(1, 10, 0.01, 1000.01)
    assert rates.ahead(1, 1000.01) >= 3


def test_widths_are_measured_apart() -> None:
    rates = steady(1000, 0.001, width=1)
    steady(200, 0.001, width=4, rates=rates)
    units, cores = rates.prefetch(2.0)
    assert units == pytest.approx(120, abs=4)
    assert cores == pytest.approx(100 + 4 * 20, abs=8)
    assert rates.noted_s(1) == rates.noted_s(4) == 2.0


def test_there_is_a_bound() -> None:
    assert steady(10**6, 0.0001).ahead(1, 2.0) == MOST_AHEAD


def test_a_clock_that_was_set_back_does_no_harm() -> None:
    rates = Rates()
    rates.note(1, 10, -3600.0, 1.0)
    assert rates.ahead(1, 0.5) > 0


def test_how_long_units_ran_lately_is_told_whatever_their_width() -> None:
    rates = Rates()
    assert rates.unit_s is None
    rates.note(1, 2, 4.0, 0.0)
    assert rates.unit_s == pytest.approx(2.0)
    rates.note_run(1, 12.0)
    assert rates.unit_s == pytest.approx(4.0)
    rates.note(8, 100, 100.0, 1.0)
    assert rates.unit_s == pytest.approx(1.0)
