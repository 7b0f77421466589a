"""HTCondor: the slot's and the job's advertisements, two files beside the job. A job has one slot of one machine."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .allocation import Allocation, BatchSystem, Findings, NodeShare
from .gpus import gpus_of, split

_MACHINE, _JOB = "_CONDOR_MACHINE_AD", "_CONDOR_JOB_AD"
_LINE = re.compile(r'^\s*(\w+)\s*=\s*"?(.*?)"?\s*$', re.MULTILINE)


def facts_of(advertisement: str) -> dict[str, str]:
    """Read lines ``Name = value``; names in small letters, since HTCondor does not tell them apart."""
    return {name.lower(): value for name, value in _LINE.findall(advertisement)}


def _read(found: Findings) -> Allocation:
    machine, job = facts_of(found.files.get(_MACHINE, "")), facts_of(found.files.get(_JOB, ""))
    return Allocation(
        system="condor",
        job=f"{job.get('clusterid', '')}.{job.get('procid', '0')}",
        nodes=_nodes(found.environment, machine),
        end_s=_end(found, job),
        submit_host=job.get("globaljobid", "").partition("#")[0],
        restarts=_whole(job, "numjobstarts"),
    )


def _nodes(environment: Mapping[str, str], machine: Mapping[str, str]) -> tuple[NodeShare, ...]:
    name = machine.get("machine") or machine.get("name", "").rpartition("@")[2]
    if not name:
        return ()
    gpus = gpus_of(environment)
    if gpus is None and "assignedgpus" in machine:
        gpus = tuple(gpu.removeprefix("CUDA") for gpu in split(machine["assignedgpus"]))
    return (NodeShare(name, _whole(machine, "cpus"), gpus, _whole(machine, "memory") or None),)


def _end(found: Findings, job: Mapping[str, str]) -> float | None:
    limits = (_whole(job, "allowedjobduration"), _whole(job, "allowedexecuteduration"))
    known = [limit_s for limit_s in limits if limit_s]
    return found.started_s + min(known) if known else None


def _whole(facts: Mapping[str, str], name: str) -> int:
    value = facts.get(name, "")
    return int(value) if value.isdigit() else 0


CONDOR = BatchSystem(
    is_here=lambda environment: bool(environment.get(_JOB)),
    files=(_MACHINE, _JOB),
    command=lambda _environment: [],
    read=_read,
)
