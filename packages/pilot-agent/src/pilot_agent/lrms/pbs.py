"""PBS Pro, OpenPBS and Torque. ``qstat -f`` knows best; without it, the node file and the environment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from .allocation import Allocation, BatchSystem, Findings, NodeShare
from .durations import moment_of, seconds_of
from .gpus import gpus_of
from .host_lists import expand_numbers, nodes_of_lines, nodes_of_pairs

_NODES, _GPUS = "PBS_NODEFILE", "PBS_GPUFILE"
_PBS_PRO_PLACE = re.compile(r"(?P<host>[^/+]+)/\d+(?:\*(?P<cores>\d+))?")
_TORQUE_PLACE = re.compile(r"(?P<host>[^/+]+)/(?P<numbers>\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)")
_MEMORY = re.compile(r"(\d+)(b|kb|mb|gb|tb)?", re.IGNORECASE)
_MEMORY_EXPONENTS = {"b": 0, "kb": 1, "mb": 2, "gb": 3, "tb": 4}


def _read(found: Findings) -> Allocation:
    environment, facts = found.environment, facts_of(found.status)
    return Allocation(
        system="pbs",
        job=environment["PBS_JOBID"],
        nodes=_nodes(found, facts),
        end_s=_end(found, facts),
        submit_host=environment.get("PBS_O_HOST") or facts.get("Submit_Host", ""),
        restarts=_restarts(facts),
    )


def facts_of(status: str) -> dict[str, str]:
    """Read what ``qstat -f`` prints; a line that begins with a tab goes on with the one before."""
    joined = status.replace("\n\t", "")
    lines = (line.strip().partition(" = ") for line in joined.splitlines())
    return {name: value for name, sign, value in lines if sign}


def _nodes(found: Findings, facts: Mapping[str, str]) -> tuple[NodeShare, ...]:
    shares = _places(facts.get("exec_host", "")) or _listed(found)
    counts = _gpu_counts(found, facts)
    own = gpus_of(found.environment)
    memory_mb = _memory_mb(facts, len(shares))
    return tuple(
        NodeShare(share.name, share.cores, counts.get(share.name) if own is None or at else own, memory_mb)
        for at, share in enumerate(shares)
    )


def _places(text: str) -> tuple[NodeShare, ...]:
    """Read ``node1/0*2+node2/0*2`` (PBS Pro), ``node1/0+node1/1`` or ``node1/0-3,5`` (Torque)."""
    return nodes_of_pairs(_place(part) for part in text.split("+")) if text else ()


def _place(text: str) -> tuple[str, int]:
    counted = _PBS_PRO_PLACE.fullmatch(text)
    if counted is not None:
        return counted["host"], int(counted["cores"] or 1)
    numbered = _TORQUE_PLACE.fullmatch(text)
    if numbered is None:
        raise ValueError(f"{text!r} is no place of exec_host")
    return numbered["host"], len(expand_numbers(numbered["numbers"]))


def _listed(found: Findings) -> tuple[NodeShare, ...]:
    """Torque's node file has a line for each core. That of PBS Pro has one for each process that MPI would start.

    Of those a chunk has one or many, and NCPUS is the cores of a chunk; so the larger number is the one that is sure.
    """
    shares = nodes_of_lines(found.files.get(_NODES, "").splitlines())
    is_torque = "PBS_NUM_PPN" in found.environment or "PBS_NP" in found.environment
    chunk = 1 if is_torque else int(found.environment.get("NCPUS") or 1)
    return tuple(NodeShare(share.name, max(share.cores, chunk)) for share in shares)


def _gpu_counts(found: Findings, facts: Mapping[str, str]) -> Mapping[str, int]:
    """GPUs by host: from the lines ``node1-gpu0`` of Torque's file, or the chunks of PBS Pro."""
    listed = found.files.get(_GPUS, "").split()
    counts = Counter(line.rpartition("-gpu")[0] for line in listed)
    for chunk in facts.get("exec_vnode", "").strip("()").split(")+("):
        vnode, *amounts = chunk.split(":")
        of_chunk = sum(int(amount[6:]) for amount in amounts if amount.startswith("ngpus="))
        counts[vnode.partition("[")[0]] += of_chunk
    return {host: count for host, count in counts.items() if count}


def _memory_mb(facts: Mapping[str, str], nodes: int) -> int | None:
    """PBS limits the memory of the job; chunks are alike, as a rule."""
    match = _MEMORY.fullmatch(facts.get("Resource_List.mem", ""))
    if match is None or not nodes:
        return None
    amount = int(match[1]) * 1024 ** _MEMORY_EXPONENTS[(match[2] or "b").lower()]
    return amount // 1024**2 // nodes or None


def _end(found: Findings, facts: Mapping[str, str]) -> float | None:
    left_s = seconds_of(facts.get("Walltime.Remaining", ""))  # Torque
    if left_s is not None:
        return found.now_s + left_s
    walltime_s = seconds_of(facts.get("Resource_List.walltime", found.environment.get("PBS_WALLTIME", "")))
    if walltime_s is None:
        return None
    started_s = moment_of(facts.get("stime") or facts.get("start_time", ""))
    return (started_s or found.started_s) + walltime_s


def _restarts(facts: Mapping[str, str]) -> int:
    runs = facts.get("run_count") or facts.get("start_count", "")
    return max(int(runs) - 1, 0) if runs.isdigit() else 0


PBS = BatchSystem(
    is_here=lambda environment: bool(environment.get("PBS_JOBID")),
    files=(_NODES, _GPUS),
    command=lambda environment: ["qstat", "-f", environment["PBS_JOBID"]],
    read=_read,
)
