"""The GPUs of one node: whole ones for one rank alone, and shares of those that several ranks use.

Invariant: a GPU is whole, or shared with some of it free or all of it given out, or a rank's alone.
"""

from __future__ import annotations

from .placement import GPU


class Gpus:
    """What is free of a node's GPUs.

    Args:
        count: How many there are; ids are 0 to count - 1.
    """

    def __init__(self, count: int) -> None:
        self.whole = list(range(count))
        """Ids of those that nobody uses, ascending."""
        self.shared: dict[int, int] = {}
        """Thousandths that are left of those in shares."""

    def room(self, need: int) -> int:
        """Return how many ranks that need so many thousandths each could have them now."""
        if need >= GPU:
            return len(self.whole) // (need // GPU)
        return len(self.whole) * (GPU // need) + sum(left // need for left in self.shared.values())

    def take(self, need: int, ranks: int) -> tuple[int, ...]:
        """Take what ranks need; there must be room. Shares come from the fullest GPU that has one."""
        if need >= GPU:
            count = ranks * (need // GPU)
            taken = tuple(self.whole[:count])
            del self.whole[:count]
            return taken
        return tuple(self._take_share(need) for _ in range(ranks))

    def _take_share(self, need: int) -> int:
        _, gpu = min(((left, gpu) for gpu, left in self.shared.items() if left >= need), default=(0, -1))
        if gpu < 0:
            gpu = self.whole.pop(0)
            self.shared[gpu] = GPU
        self.shared[gpu] -= need
        return gpu

    def give(self, gpus: tuple[int, ...], need: int) -> None:
        """Take back what ranks had."""
        if need >= GPU:
            self.whole = sorted([*self.whole, *gpus])
            return
        for gpu in gpus:
            self.shared[gpu] += need
            if self.shared[gpu] == GPU:
                del self.shared[gpu]
                self.whole = sorted([*self.whole, gpu])
