"""Where a unit stands: a node, cores as a bitmap (bit n is core n), GPUs by id. Pure arithmetic, no bookkeeping."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """What a unit needs; units of one shape are interchangeable for the scheduler."""

    cores: int
    gpus: int = 0
    memory_mb: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether any core that becomes free will do."""
        return self == (1, 0, 0)


class Placement(NamedTuple):
    """What a unit holds of a node."""

    node: int
    cores: int
    """Bitmap."""
    gpus: tuple[int, ...] = ()


def choose_cores(free: int, count: int) -> int:
    """Return a bitmap of ``count`` of the ``free`` cores: neighbors where there are enough, the lowest otherwise.

    ``free`` must have at least ``count`` bits.
    """
    if count == 1:
        return free & -free
    starts, length = free, 1  # bits from which `length` free cores follow one another
    while length < count and starts:
        step = min(length, count - length)
        starts &= starts >> step
        length += step
    if starts:
        return ((1 << count) - 1) * (starts & -starts)
    return _lowest(free, count)


def _lowest(free: int, count: int) -> int:
    chosen = 0
    for _ in range(count):
        core = free & -free
        chosen |= core
        free ^= core
    return chosen


def first_core(cores: int) -> int:
    """Return the number of the lowest core of a bitmap that is not empty."""
    return (cores & -cores).bit_length() - 1


def core_numbers(cores: int) -> list[int]:
    """Return the numbers of a bitmap's cores, ascending."""
    numbers = []
    while cores:
        core = cores & -cores
        numbers.append(core.bit_length() - 1)
        cores ^= core
    return numbers
