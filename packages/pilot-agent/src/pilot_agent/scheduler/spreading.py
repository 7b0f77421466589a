"""How the ranks of a unit are shared out among nodes. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Room(NamedTuple):
    """How many ranks fit on a node."""

    node: int
    ranks: int


def packed_shares(rooms: Iterable[Room], ranks: int) -> list[tuple[int, int]]:
    """Return how many ranks go to which nodes, as few as possible; nothing when there is no room for all.

    Args:
        rooms: Nodes with room, those with the most first; no more of them are looked at than are needed.
        ranks: In all, at least 1.
    """
    shares: list[tuple[int, int]] = []
    left = ranks
    for node, room in rooms:
        shares.append((node, min(room, left)))
        left -= room
        if left <= 0:
            return shares
    return []


def even_shares(rooms: Iterable[Room], ranks: int) -> list[tuple[int, int]]:
    """Return how many ranks go to which nodes, as many as possible and as evenly as possible; nothing without room.

    Args:
        rooms: Nodes with room, those with the most first.
        ranks: In all, at least 1.
    """
    known = list(rooms)[:ranks]
    if sum(room for _, room in known) < ranks:
        return []
    shares: list[tuple[int, int]] = []
    left = ranks
    for place, (node, room) in enumerate(sorted(known, key=lambda entry: entry.ranks)):
        share = min(room, left // (len(known) - place))
        shares.append((node, share))
        left -= share
    return shares
