"""Grid Engine and its descendants: the parallel environment's host file; the limit of time from ``qstat -j``."""

from __future__ import annotations

import re

from .allocation import Allocation, BatchSystem, Findings, NodeShare
from .durations import seconds_of
from .gpus import gpus_of
from .host_lists import nodes_of_pairs

_HOSTS = "PE_HOSTFILE"
_GPUS = ("SGE_HGR_gpu", "SGE_GPU")
_LIMIT = re.compile(r"^hard[ _]resource_list:.*?\b[hs]_rt=(?P<limit>[\d:]+)", re.MULTILINE)


def _read(found: Findings) -> Allocation:
    environment = found.environment
    task = environment.get("SGE_TASK_ID", "undefined")
    return Allocation(
        system="sge",
        job=environment["JOB_ID"] if task == "undefined" else f"{environment['JOB_ID']}.{task}",
        nodes=_nodes(found),
        end_s=_end(found),
        submit_host=environment.get("SGE_O_HOST", ""),
        restarts=int(environment.get("RESTARTED") or 0),
    )


def _nodes(found: Findings) -> tuple[NodeShare, ...]:
    lines = [line.split() for line in found.files.get(_HOSTS, "").splitlines() if line.strip()]
    # One host may stand there twice, once for each of its queues.
    shares = nodes_of_pairs((fields[0], int(fields[1])) for fields in lines)
    if not shares:
        host = found.environment.get("HOSTNAME", "")
        shares = (NodeShare(host, int(found.environment.get("NSLOTS") or 1)),) if host else ()
    gpus = gpus_of(found.environment, _GPUS)
    return tuple(NodeShare(share.name, share.cores, None if at else gpus) for at, share in enumerate(shares))


def _end(found: Findings) -> float | None:
    limits = [seconds_of(match["limit"]) for match in _LIMIT.finditer(found.status)]
    known = [limit_s for limit_s in limits if limit_s]
    return found.started_s + min(known) if known else None


SGE = BatchSystem(
    is_here=lambda environment: bool(environment.get("JOB_ID") and environment.get("SGE_O_HOST")),
    files=(_HOSTS,),
    command=lambda environment: ["qstat", "-j", environment["JOB_ID"]],
    read=_read,
)
