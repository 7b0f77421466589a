"""Lists as batch systems shorten them: hosts (``n[1-3,07],m5``), numbers (``0-3,7``), counts (``4(x2),3``)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

from .allocation import NodeShare

MOST_HOSTS = 1_000_000
"""More than any machine has; a list that says so is nonsense."""

_ITEM = re.compile(r"(?:[^\[\],\s]|\[[^\[\]]*\])+")
_PART = re.compile(r"\[([^\[\]]*)\]|([^\[\]]+)")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_COUNT = re.compile(r"(\d+)(?:\(x(\d+)\))?")


def expand_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts of a list, in its order; numbers keep their leading zeros.

    Raises:
        ValueError: It is none.
    """
    text = text.strip()
    items = _ITEM.findall(text)
    if ",".join(items) != text:
        raise ValueError(f"{text!r} is no list of hosts")
    return tuple(host for item in items for host in _hosts_of(item))


def _hosts_of(item: str) -> Iterator[str]:
    choices = [[part[2]] if part[1] is None else _numbers(part[1]) for part in _PART.finditer(item)]
    return ("".join(parts) for parts in product(*choices))


def expand_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a list like ``0-3,7``.

    Raises:
        ValueError: It is none.
    """
    return tuple(int(number) for number in _numbers(text))


def _numbers(text: str) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part!r} of {text!r} is neither a number nor a range")
        first, last = match[1], match[2] or match[1]
        if not int(first) <= int(last) < int(first) + MOST_HOSTS:
            raise ValueError(f"{part!r} is no range that can be meant")
        found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return found


def expand_counts(text: str) -> tuple[int, ...]:
    """Return the counts of a list like ``4(x2),3``: one a node.

    Raises:
        ValueError: It is none.
    """
    counts: list[int] = []
    for part in text.split(","):
        match = _COUNT.fullmatch(part.strip())
        times = int(match[2] or 1) if match else 0
        if match is None or times > MOST_HOSTS:
            raise ValueError(f"{part!r} of {text!r} is no count")
        counts += [int(match[1])] * times
    return tuple(counts)


def nodes_of_lines(lines: Iterable[str]) -> tuple[NodeShare, ...]:
    """Return nodes from lines that name a host each, once for each core."""
    counts = Counter(line.strip() for line in lines if line.strip())
    return tuple(NodeShare(name, cores) for name, cores in counts.items())


def nodes_of_pairs(pairs: Iterable[tuple[str, int]]) -> tuple[NodeShare, ...]:
    """Return nodes from hosts with numbers of cores; a host that is named twice has both."""
    counts: Counter[str] = Counter()
    for name, cores in pairs:
        counts[name] += cores
    return tuple(NodeShare(name, cores) for name, cores in counts.items())
