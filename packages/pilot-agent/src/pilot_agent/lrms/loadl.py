"""LoadLeveler: a host for each task from the environment or its file, the limit of time from ``llq``."""

from __future__ import annotations

import re

from .allocation import Allocation, BatchSystem, Findings, NodeShare
from .gpus import gpus_of
from .host_lists import nodes_of_lines

_HOSTS = "LOADL_HOSTFILE"
_LIMIT = re.compile(r"^\s*Wall Clk Hard Limit:.*\((\d+) seconds\)", re.MULTILINE)


def _read(found: Findings) -> Allocation:
    environment = found.environment
    step = environment["LOADL_STEP_ID"]
    limit = _LIMIT.search(found.status)
    return Allocation(
        system="loadl",
        job=step,
        nodes=_nodes(found),
        end_s=found.started_s + int(limit[1]) if limit else None,
        submit_host=step.rsplit(".", 2)[0],  # host.job.step
    )


def _nodes(found: Findings) -> tuple[NodeShare, ...]:
    # The list in the environment ends at 128 tasks; the file has all of them.
    lines = found.files.get(_HOSTS) or found.environment.get("LOADL_PROCESSOR_LIST", "")
    gpus = gpus_of(found.environment)
    return tuple(
        NodeShare(share.name, share.cores, None if at else gpus)
        for at, share in enumerate(nodes_of_lines(lines.split()))
    )


LOADL = BatchSystem(
    is_here=lambda environment: bool(environment.get("LOADL_STEP_ID")),
    files=(_HOSTS,),
    command=lambda environment: ["llq", "-l", environment["LOADL_STEP_ID"]],
    read=_read,
)
