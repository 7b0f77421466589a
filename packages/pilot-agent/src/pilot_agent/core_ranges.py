"""Core numbers as text, the way Linux writes them. Pure; the only copy, for the executors and for what is reported."""

from __future__ import annotations

from collections.abc import Collection


def core_ranges(cores: Collection[int]) -> str:
    """Return core numbers as `0-3,8`."""
    if len(cores) == 1:
        return str(next(iter(cores)))
    numbers = set(cores)
    starts = sorted(core for core in numbers if core - 1 not in numbers)
    ends = sorted(core for core in numbers if core + 1 not in numbers)
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in zip(starts, ends))
