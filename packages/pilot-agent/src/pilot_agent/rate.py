"""How fast units end, by width, and so how many more to hold than can run now. Pure; times come in as arguments.

An executor that has the next unit at hand starts it in the turn in which it reaps the last one; an agent that has to
ask first loses a round trip per unit. So short units are held ahead, for :data:`AHEAD_S` of work as it was measured. What
is held here cannot run elsewhere, so nothing is held ahead for long units, nor while nothing is known, and silence lets
the measured rate fade.
"""

from __future__ import annotations

import math
from typing import NamedTuple

AHEAD_S = 0.1
"""Work that is held ahead, in time."""
SHORT_RUN_S = 0.05
"""Longest mean run time of units that are held ahead."""
MOST_AHEAD = 1000
"""Units of one width, whatever the rate."""
_MEMORY_S = 0.25
"""Time after which a measured rate counts for 1/e."""
_KEPT = 0.8
"""Weight of the mean run time when one more unit has ended."""


class Ahead(NamedTuple):
    """Units to hold beyond those that run, and their cores."""

    units: int
    cores: int


class _WidthRate:
    __slots__ = ("mean_run_s", "noted_s", "per_s")

    def __init__(self, now_s: float) -> None:
        self.per_s = 0.0
        self.noted_s = now_s
        self.mean_run_s = math.inf

    def at(self, now_s: float) -> float:
        return (
            self.per_s * math.exp((self.noted_s - now_s) / _MEMORY_S) if now_s > self.noted_s else self.per_s
        )


class Rates:
    """Measured rates of ended units, one per width (number of cores)."""

    def __init__(self) -> None:
        self._widths: dict[int, _WidthRate] = {}
        self.unit_s: float | None = None
        """How long units ran lately, whatever their width; None before one has ended."""

    def resume(self, width: int, now_s: float) -> None:
        """Note that units of ``width`` run again after none did: idle time says nothing about speed."""
        rate = self._widths.get(width)
        if rate is None:
            self._widths[width] = _WidthRate(now_s)
        else:
            rate.per_s = rate.at(now_s)
            rate.noted_s = now_s

    def note_run(self, count: int, run_s: float) -> None:
        """Note that ``count`` units have ended, which ran ``run_s`` in all, if nothing else about them counts."""
        mean = max(run_s, 0.0) / count
        weight = 0.0 if self.unit_s is None else _KEPT**count
        self.unit_s = mean * (1.0 - weight) + (self.unit_s or 0.0) * weight

    def note(self, width: int, count: int, run_s: float, now_s: float) -> None:
        """Note that ``count`` units of ``width`` have ended, which ran ``run_s`` in all."""
        self.note_run(count, run_s)
        rate = self._widths.get(width)
        if rate is None:
            rate = self._widths[width] = _WidthRate(now_s)
        passed_s = now_s - rate.noted_s
        if passed_s > 0:
            fade = math.exp(-passed_s / _MEMORY_S)
            rate.per_s = rate.per_s * fade + count / passed_s * (1.0 - fade)
            rate.noted_s = now_s
        else:
            rate.per_s += count / _MEMORY_S
        mean = max(run_s, 0.0) / count
        weight = _KEPT**count if rate.mean_run_s < math.inf else 0.0
        rate.mean_run_s = mean if weight == 0.0 else rate.mean_run_s * weight + mean * (1.0 - weight)

    def ahead(self, width: int, now_s: float) -> float:
        """Return how many units of ``width`` :data:`AHEAD_S` of work are; 0 when unknown, long or less than half one."""
        rate = self._widths.get(width)
        if rate is None or rate.mean_run_s > SHORT_RUN_S:
            return 0.0
        units = rate.at(now_s) * AHEAD_S
        return min(units, MOST_AHEAD) if units >= 0.5 else 0.0

    def prefetch(self, now_s: float) -> Ahead:
        """Return how many units of all widths, with how many cores, to hold ahead."""
        units = cores = 0
        for width in self._widths:
            count = round(self.ahead(width, now_s))
            units += count
            cores += count * width
        return Ahead(units, cores)

    def noted_s(self, width: int) -> float:
        """Return when a unit of ``width`` ended last, or when the first one started."""
        rate = self._widths.get(width)
        return rate.noted_s if rate is not None else -math.inf
