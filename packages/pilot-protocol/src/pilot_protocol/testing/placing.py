"""Where a unit with inputs goes, in the plainest way: what ``lua/prelude/placing.lua`` must do as well."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

BYTES_PER_S = 100e6
COSTS_KEPT = 10

Place = tuple[str, str]
"""Datacenter and machine."""


@dataclass(frozen=True)
class Site:
    """All pilots of one label."""

    place: Place
    cores: int
    free: int
    unit_s: float

    @property
    def label(self) -> str:
        """Return its label."""
        return ",".join(self.place)


@dataclass(frozen=True)
class StoreNear:
    """A Pilot-Data that could be near a site."""

    name: str
    place: Place
    room: float
    is_attached: bool


@dataclass(frozen=True)
class Input:
    """What a unit reads."""

    name: str
    size: int
    is_over: bool
    letters: Mapping[str, str]
    """Of its replicas, by Pilot-Data."""


@dataclass(frozen=True)
class Choice:
    """A site, and what it costs to run the unit there."""

    cost: float
    moved: int
    rank: int
    label: str
    copies: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Return what the data has to do with it."""
        return ("there", "copy", "straight")[self.rank]


def is_close(one: Place, other: Place) -> bool:
    """Tell whether a place is near another; one that names no machine is near all of its datacenter."""
    return one[0] == other[0] and (one[1] == other[1] or "" in {one[1], other[1]})


def choose(
    sites: Iterable[Site], inputs: Collection[Input], stores: Collection[StoreNear], cores: int, waiting: Mapping[str, int]
) -> list[Choice]:  # fmt: skip
    """Weigh all sites, the best first.

    Args:
        sites: All that may be gone to.
        inputs: What the unit reads.
        stores: All Pilot-Data that run.
        cores: Those of the unit.
        waiting: Cores that wait already, by label; those without label wait anywhere.
    """
    found = []
    for site in sites:
        near = [store for store in stores if is_close(store.place, site.place)]
        ways = [_way(given, near) for given in inputs]
        moved = sum(given.size for given, (way, _) in zip(inputs, ways) if way in {"", "target"})
        copies = tuple(
            f"{given.name}@{at}" for given, (way, at) in zip(inputs, ways) if way in {"coming", "target"}
        )
        rank = 0 if all(way == "here" for way, _ in ways) else 1 if copies else 2
        ahead = waiting.get(site.label, 0) + (waiting.get(",", 0) if site.label != "," else 0) + cores
        wait_s = 0 if site.free >= ahead else ahead / max(site.cores, 1) * site.unit_s
        found.append(Choice(moved / BYTES_PER_S + wait_s, moved, rank, site.label, copies))
    return sorted(found, key=lambda choice: (choice.cost, choice.moved, choice.rank, choice.label))


def _way(given: Input, near: Iterable[StoreNear]) -> tuple[str, str]:
    letters = {store.name: given.letters.get(store.name, "") for store in near}
    here = sorted(name for name, letter in letters.items() if letter == "D")
    if here:
        return "here", here[0]
    if given.is_over:
        return "", ""
    coming = sorted(name for name, letter in letters.items() if letter in {"P", "R"})
    if coming:
        return "coming", coming[0]
    targets = sorted(
        (-store.room, store.name)
        for store in near
        if not letters[store.name] and store.is_attached and store.room >= given.size
    )
    return ("target", targets[0][1]) if targets else ("", "")


def text_of(choices: Sequence[Choice], before: str) -> str:
    """Return what is written down about a decision; after copies were waited for, that stays to be seen."""
    best = choices[0]
    kind, _, rest = before.partition("|")
    if kind in {"copy", "copied"} and rest.partition("|")[0] == best.label and best.kind != "copy":
        return f"{'copied' if best.kind == 'there' else best.kind}|{rest}"
    costs = " ".join(f"{choice.label}:{choice.cost:.3f}" for choice in choices[:COSTS_KEPT])
    return f"{best.kind}|{best.label}|{best.moved}|{' '.join(best.copies)}|{costs}"
