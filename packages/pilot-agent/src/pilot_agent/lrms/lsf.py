"""LSF: hosts and slots from the environment, what is left of the time from ``bjobs``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .allocation import Allocation, BatchSystem, Findings, NodeShare
from .gpus import gpus_of
from .host_lists import nodes_of_lines, nodes_of_pairs

_HOSTS = "LSB_DJOB_HOSTFILE"
_LEFT = re.compile(r"(\d+):(\d+) L")
"""Hours and minutes; L says that they are the limit's, E that they are somebody's estimate."""


def _command(environment: Mapping[str, str]) -> list[str]:
    return ["bjobs", "-noheader", "-o", "time_left", _job(environment)]


def _job(environment: Mapping[str, str]) -> str:
    index = environment.get("LSB_JOBINDEX", "0")
    job = environment["LSB_JOBID"]
    return job if index == "0" else f"{job}[{index}]"


def _read(found: Findings) -> Allocation:
    environment = found.environment
    return Allocation(
        system="lsf",
        job=_job(environment),
        nodes=_nodes(found),
        end_s=_end(found),
        submit_host=environment.get("LSB_SUB_HOST", ""),
        restarts=int(environment.get("LSB_RESTART") == "Y"),
    )


def _nodes(found: Findings) -> tuple[NodeShare, ...]:
    shares = _shares(found)
    gpus = gpus_of(found.environment)
    return tuple(NodeShare(share.name, share.cores, None if at else gpus) for at, share in enumerate(shares))


def _shares(found: Findings) -> tuple[NodeShare, ...]:
    words = found.environment.get("LSB_MCPU_HOSTS", "").split()
    if words:
        return nodes_of_pairs(zip(words[::2], map(int, words[1::2])))
    lines = found.files.get(_HOSTS) or found.environment.get("LSB_HOSTS", "")
    return nodes_of_lines(lines.split())


def _end(found: Findings) -> float | None:
    match = _LEFT.fullmatch(found.status.strip())
    return found.now_s + 3600 * int(match[1]) + 60 * int(match[2]) if match else None


LSF = BatchSystem(
    is_here=lambda environment: bool(environment.get("LSB_JOBID")),
    files=(_HOSTS,),
    command=_command,
    read=_read,
)
