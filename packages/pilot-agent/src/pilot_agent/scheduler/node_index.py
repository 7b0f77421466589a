"""Which nodes have so many free cores: found without a look at each of them.

For each number of cores there is a bitmap of the nodes that have at least as many free; a change of n cores on a node
changes n of them. So finding a node costs the same in an allocation of one node and of a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator


class NodeIndex:
    """Nodes by their number of free cores; those out of use count as having none.

    Args:
        most: The largest number of cores that a node has.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._with: list[int] = [0] * (most + 1)
        """Bitmap of the nodes with at least so many free cores; the first entry is not used."""

    def change(self, node: int, before: int, after: int) -> None:
        """Note that a node has another number of free cores."""
        bit = 1 << node
        low, high = (before, after) if before < after else (after, before)
        for count in range(low + 1, high + 1):
            self._with[count] ^= bit

    def with_at_least(self, cores: int) -> int:
        """Return a bitmap of the nodes with so many free cores."""
        return self._with[cores] if cores <= self.most else 0

    def fullest_last(self, cores: int, besides: int = 0) -> Iterator[int]:
        """Yield nodes with so many free cores, those with the most first; bitmap ``besides`` is left out."""
        seen = besides
        for count in range(self.most, cores - 1, -1):
            yield from numbers(self._with[count] & ~seen)
            seen |= self._with[count]


def numbers(bits: int) -> Iterator[int]:
    """Yield the numbers of a bitmap's bits, ascending."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
