"""Slurm: everything but the end is in the environment; what is left of the time, ``squeue`` tells."""

from __future__ import annotations

from collections.abc import Mapping

from .allocation import Allocation, BatchSystem, Findings, Gpus, NodeShare
from .durations import seconds_of
from .gpus import gpus_of
from .host_lists import expand_counts, expand_hosts

_END = "SLURM_JOB_END_TIME"


def _command(environment: Mapping[str, str]) -> list[str]:
    if environment.get(_END, "").isdigit():
        return []
    # What is left, not the end as a date: that would be in the controller's time zone.
    return ["squeue", "-h", "-j", environment["SLURM_JOB_ID"], "-o", "%L"]


def _read(found: Findings) -> Allocation:
    environment = found.environment
    return Allocation(
        system="slurm",
        job=environment["SLURM_JOB_ID"],
        nodes=_nodes(environment),
        end_s=_end(found),
        submit_host=environment.get("SLURM_SUBMIT_HOST", ""),
        restarts=int(environment.get("SLURM_RESTART_COUNT") or 0),
    )


def _nodes(environment: Mapping[str, str]) -> tuple[NodeShare, ...]:
    names = expand_hosts(environment.get("SLURM_JOB_NODELIST") or environment.get("SLURM_NODELIST", ""))
    counts = expand_counts(environment.get("SLURM_JOB_CPUS_PER_NODE") or "0")
    if len(counts) == 1:  # older versions say it once for all nodes
        counts *= len(names)
    if len(counts) != len(names):
        raise ValueError(f"Slurm names {len(names)} nodes, and cores for {len(counts)}")
    gpus = _gpus(environment)
    own = environment.get("SLURMD_NODENAME") or (names[0] if names else "")
    others = len(gpus) if isinstance(gpus, tuple) else gpus
    return tuple(
        NodeShare(name, cores, gpus if name == own else others, _memory_mb(environment, cores))
        for name, cores in zip(names, counts)
    )


def _gpus(environment: Mapping[str, str]) -> Gpus | None:
    """Names on the node of the script; for the others Slurm tells nothing but that they are alike, as a rule."""
    named = gpus_of(environment, ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS"))
    count = environment.get("SLURM_GPUS_ON_NODE", "")
    return int(count) if named is None and count.isdigit() else named


def _memory_mb(environment: Mapping[str, str], cores: int) -> int | None:
    per_node = int(environment.get("SLURM_MEM_PER_NODE") or 0)
    return per_node or cores * int(environment.get("SLURM_MEM_PER_CPU") or 0) or None


def _end(found: Findings) -> float | None:
    known = found.environment.get(_END, "")
    if known.isdigit():
        return float(known)
    left_s = seconds_of(found.status)
    return None if left_s is None else found.now_s + left_s


SLURM = BatchSystem(
    is_here=lambda environment: bool(environment.get("SLURM_JOB_ID")), files=(), command=_command, read=_read
)
