"""Cobalt: whole nodes, from its node file or the partition's name; the end is in the environment, or ``qstat`` tells."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .allocation import Allocation, BatchSystem, Findings, NodeShare
from .durations import seconds_of
from .gpus import gpus_of
from .host_lists import expand_hosts, expand_numbers

_HOSTS = "COBALT_NODEFILE"
_LEFT = re.compile(r"^\s*TimeRemaining\s*:\s*(\S+)", re.MULTILINE)


def _command(environment: Mapping[str, str]) -> list[str]:
    known = environment.get("COBALT_ENDTIME", "").isdigit()
    return [] if known else ["qstat", "--full", "--long", environment["COBALT_JOBID"]]


def _read(found: Findings) -> Allocation:
    return Allocation(
        system="cobalt", job=found.environment["COBALT_JOBID"], nodes=_nodes(found), end_s=_end(found)
    )


def _nodes(found: Findings) -> tuple[NodeShare, ...]:
    hosts = tuple(found.files.get(_HOSTS, "").split()) or _of_partition(
        found.environment.get("COBALT_PARTNAME", "")
    )
    gpus = gpus_of(found.environment)
    return tuple(NodeShare(host, gpus=None if at else gpus) for at, host in enumerate(hosts))


def _of_partition(name: str) -> tuple[str, ...]:
    """Cray machines are named by the numbers of their nodes, others by hosts."""
    if name[:1].isdigit():
        return tuple(f"nid{number:05}" for number in expand_numbers(name))
    return expand_hosts(name)


def _end(found: Findings) -> float | None:
    known = found.environment.get("COBALT_ENDTIME", "")
    if known.isdigit():
        return float(known)
    match = _LEFT.search(found.status)
    left_s = seconds_of(match[1]) if match else None
    return None if left_s is None else found.now_s + left_s


COBALT = BatchSystem(
    is_here=lambda environment: bool(environment.get("COBALT_JOBID")),
    files=(_HOSTS,),
    command=_command,
    read=_read,
)
