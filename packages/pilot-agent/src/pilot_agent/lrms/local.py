"""What the agent uses of a node, the one it runs on or another one. Decisions only.

Cores are numbered as the kernel does. A pilot that has all CPUs that it may run on owns them, and its units are pinned. One
that has fewer shares the machine with others, perhaps with other pilots, which would all pin to the same first cores; one
that asked for more has no core for each number. Their units run wherever the kernel puts them.

Without a batch system a pilot has what was asked for. With one, it has what it was given there, and not more than it asked
for; units that count on cores which belong to other jobs help nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .allocation import Allocation, NodeShare
from .machine import Machine


@dataclass(frozen=True)
class Asked:
    """What the pilot's description says of a node; None, and 0 GPUs, where it says nothing."""

    cores: int | None = None
    gpus: int = 0
    memory_mb: int | None = None


@dataclass(frozen=True)
class LocalNode:
    """One node as the pilot uses it."""

    name: str
    """As the batch system calls it; without one, the host's name."""
    cores: int
    cpus: tuple[int, ...] = ()
    """CPU number of each core; empty when units are not pinned."""
    gpus: tuple[str, ...] = ()
    """What programs call each GPU."""
    memory_mb: int | None = None


def without_batch_system(machine: Machine, asked: Asked) -> LocalNode:
    """Return the node of a pilot that asked this machine itself."""
    cores = asked.cores or machine.cores
    return LocalNode(machine.name, cores, _pinned(machine, cores), _numbered(asked.gpus), asked.memory_mb)


def of_allocation(machine: Machine, share: NodeShare, asked: Asked) -> LocalNode:
    """Return a node of a pilot whose batch job has ``share`` of it; ``asked`` counts for this node."""
    cores = min(known for known in (asked.cores, share.cores, machine.cores) if known)
    limits = (asked.memory_mb, share.memory_mb, machine.limits.memory_mb)
    memory_mb = min((known for known in limits if known), default=None)
    return LocalNode(share.name, cores, _pinned(machine, cores), _gpus(share, asked), memory_mb)


def split_shares(allocation: Allocation, names: Sequence[str]) -> tuple[NodeShare, tuple[NodeShare, ...]]:
    """Return the share of the node that has one of ``names``, and the others.

    Where none has, that of the first node, which runs job scripts, under the last of ``names``.
    """
    nodes = allocation.nodes
    for name in names:
        for share in nodes:
            if is_same_host(share.name, name):
                return share, tuple(other for other in nodes if other is not share)
    return (replace(nodes[0], name=names[-1]) if nodes else NodeShare(names[-1])), nodes[1:]


def needed(others: Sequence[NodeShare], cores: int | None) -> tuple[NodeShare, ...]:
    """Return the nodes, the first ones, that a pilot needs to have so many more cores; None: all of them.

    Of a node whose cores nobody tells only those before it count.
    """
    if cores is None:
        return tuple(others)
    chosen = []
    for share in others:
        if cores <= 0:
            break
        chosen.append(share)
        cores -= share.cores
    return tuple(chosen)


def is_same_host(one: str, other: str) -> bool:
    """Tell whether two names may be one host's: the same, or the same but for a domain that one of them leaves out."""
    one, other = one.lower().rstrip("."), other.lower().rstrip(".")
    if "." in one and "." in other:
        return one == other
    return one.partition(".")[0] == other.partition(".")[0]


def _pinned(machine: Machine, cores: int) -> tuple[int, ...]:
    return machine.cpus if len(machine.cpus) == cores else ()


def _gpus(share: NodeShare, asked: Asked) -> tuple[str, ...]:
    given = share.gpus
    if given is None:
        return _numbered(asked.gpus)
    names = _numbered(given) if isinstance(given, int) else given
    return names[: asked.gpus] if asked.gpus else names


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))
