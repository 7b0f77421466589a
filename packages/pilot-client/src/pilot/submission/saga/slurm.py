"""Slurm through radical.saga: partitions are looked at before, states are asked for with one ``squeue`` for all jobs.

Slurm accepts jobs that can never run and keeps them waiting; so a job is compared with its partition first. radical.saga
reports TIMEOUT as Canceled, forgets exit codes and asks for each job alone; so it is not asked.

The invariant: pure, but for the target it is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pilot.submission.queue import Job, JobPhase, JobState
from pilot_protocol.errors import SubmissionError

from .descriptions import SagaRequest, common_attributes, per_node, plain_value, refuse
from .systems import UNKNOWN, Target, removal_failures

# %R name, %P name with a star for the default one, %l walltime limit, %D nodes, %c cpus, %m MB, %G gpus: of nodes alike
SINFO = "sinfo -h -e -o '%R|%P|%l|%D|%c|%m|%G'"
SQUEUE = "squeue -h -t all -O 'JobID:20,State:24,exit_code:12,Reason:200' -j "
SACCT = "sacct -X -n -P -o JobID,State,ExitCode -j "

_WAITING = {
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "SPECIAL_EXIT",
    "RESV_DEL_HOLD",
}
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "STOPPED", "RESIZING"}
_ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
}
_ENDED |= {"REVOKED", "TIMEOUT"}
_NO_SUCH_JOB = "Invalid job id"
_UNTOLD_REASONS = {"", "None", "NonZeroExitCode"}


@dataclass(frozen=True)
class Nodes:
    """Nodes of a partition that are alike."""

    count: int
    cpus: int
    memory_mb: int
    gpus: int


@dataclass(frozen=True)
class Partition:
    """A partition; ``limit_min`` is None where there is no limit."""

    name: str
    is_default: bool
    limit_min: float | None
    nodes: tuple[Nodes, ...]


class SlurmSystem:
    """Slurm."""

    def request(self, job: Job, target: Target, /) -> SagaRequest:
        """Return what radical.saga is told of a job.

        Raises:
            SubmissionError: Slurm does not answer, or the partition can never run the job.
        """
        answer = target.run(SINFO)
        if answer.code != 0:
            raise SubmissionError(f"Slurm does not say which partitions it has: {answer.text.strip()}")
        return describe(job, partitions(answer.text))

    def states(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, JobState]:
        """Return how jobs do. Those that the controller has forgotten may be in the accounting."""
        answer = target.run(SQUEUE + ",".join(jobs))
        if answer.code != 0 and _NO_SUCH_JOB not in answer.text:
            return {job: JobState(JobPhase.UNKNOWN, None, answer.text.strip()) for job in jobs}
        found = queue_states(answer.text)
        forgotten = [job for job in jobs if job not in found]
        if forgotten:
            accounted = target.run(SACCT + ",".join(forgotten))
            found |= accounting_states(accounted.text) if accounted.code == 0 else {}
        gone = JobState(JobPhase.ENDED, None, "Slurm does not know the job any more")
        return {job: found.get(job, gone) for job in jobs}

    def cancel(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, str]:
        """Remove jobs; return what went wrong, by job."""
        return removal_failures(jobs, target.run("scancel " + " ".join(jobs)), harmless=_NO_SUCH_JOB)


def describe(job: Job, known: Sequence[Partition]) -> SagaRequest:
    """Return what radical.saga is told of a job.

    Its script asks for tasks; how many nodes, and that the job must not be started again after a crash of a node, is
    written into it.

    Raises:
        SubmissionError: The partition can never run the job.
    """
    refuse(job, "Slurm", ["spmd_variation"])
    attributes = common_attributes(job)
    partition = _chosen(job, known)
    if partition is None:  # sbatch says in its own words what is wrong with it
        nodes, cores = per_node(job, job.cores or 1)
    else:
        attributes.setdefault("queue", partition.name)
        nodes, cores = _layout(job, partition)
    attributes |= {"total_cpu_count": job.cores or nodes * cores, "processes_per_host": cores}
    more = [f"--nodes={nodes}", "--no-requeue"]
    if job.cores is None and job.processes_per_node is None:
        attributes["system_architecture"] = {"exclusive": True}
    if job.gpus_per_node:
        more.append(f"--gpus-per-node={job.gpus_per_node}")
    if job.memory_per_node_mb:
        more.append(f"--mem={job.memory_per_node_mb}")
    if job.candidate_hosts:
        attributes["candidate_hosts"] = [plain_value("candidate_hosts", host) for host in job.candidate_hosts]
    first = "#!/bin/sh\n\n"
    return SagaRequest(attributes, [(first, first + "".join(f"#SBATCH {option}\n" for option in more))])


def _chosen(job: Job, known: Sequence[Partition]) -> Partition | None:
    wanted = job.queue.split(":")[0]
    chosen = [each for each in known if (each.name == wanted if wanted else each.is_default)]
    if not chosen and not wanted:
        names = ", ".join(each.name for each in known) or "none"
        raise SubmissionError(f"Slurm has no default partition; give the key queue, one of: {names}")
    return chosen[0] if chosen else None


def _layout(job: Job, partition: Partition) -> tuple[int, int]:
    if partition.limit_min is not None and job.walltime_min > partition.limit_min:
        raise SubmissionError(
            f"the walltime of {job.walltime_min:g} min is over the limit of partition {partition.name}, "
            f"{partition.limit_min:g} min; ask for less or give another queue"
        )
    fitting = [group for group in partition.nodes if _fits(job, group)]
    for cpus in sorted({group.cpus for group in fitting}, reverse=True):
        nodes, cores = per_node(job, cpus)
        if sum(group.count for group in fitting if group.cpus >= cores) >= nodes:
            return nodes, cores
    raise SubmissionError(
        f"partition {partition.name} can never run the pilot, which asks for {_wishes(job)}; it has "
        + ", ".join(_in_words(group) for group in partition.nodes)
    )


def _fits(job: Job, group: Nodes) -> bool:
    return (
        group.cpus >= (job.processes_per_node or 1)
        and group.gpus >= job.gpus_per_node
        and group.memory_mb >= job.memory_per_node_mb
    )


def _wishes(job: Job) -> str:
    wishes = {
        "number_of_processes": job.cores,
        "number_of_nodes": job.nodes,
        "processes_per_node": job.processes_per_node,
        "gpus_per_node": job.gpus_per_node,
        "memory_per_node_mb": job.memory_per_node_mb,
    }
    return ", ".join(f"{key}={value}" for key, value in wishes.items() if value) or "one node"


def _in_words(group: Nodes) -> str:
    gpus = f", {group.gpus} gpus" if group.gpus else ""
    return f"{group.count} nodes of {group.cpus} cores, {group.memory_mb} MB{gpus}"


def partitions(text: str) -> list[Partition]:
    """Read what ``sinfo`` printed."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        fields = line.strip().split("|")
        if len(fields) != 7:
            continue
        name, starred, limit, *size = fields
        count, cpus, memory = (_leading(part) for part in size[:3])
        group = Nodes(count, cpus, memory, _gpus(size[3]))
        before = found[name].nodes if name in found else ()
        found[name] = Partition(name, starred.endswith("*"), minutes(limit), (*before, group))
    return list(found.values())


def _leading(text: str) -> int:
    """Return the number that a text begins with; Slurm writes ``4+`` for nodes that differ."""
    digits = re.match(r"\d+", text)
    return int(digits[0]) if digits else 0


def _gpus(gres: str) -> int:
    """Return how many GPUs a node has: ``gpu:2``, ``gpu:a100:4(S:0-1)``, ``(null)``."""
    return sum(int(count) for count in re.findall(r"\bgpu(?::[^:,(]+)?:(\d+)", gres))


def minutes(limit: str) -> float | None:
    """Read a limit as Slurm writes it, ``days-hours:minutes:seconds``; None where there is none."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if match is None:
        return None
    days, hours, mins, seconds = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + mins + seconds / 60


def queue_states(text: str) -> dict[str, JobState]:
    """Read what ``squeue`` printed."""
    found = {}
    for line in text.splitlines():
        fields = line.split(None, 3)
        if len(fields) >= 3 and fields[0].isdigit():
            reason = fields[3].strip() if len(fields) > 3 else ""
            found[fields[0]] = _state(fields[1], _wait_status(fields[2]), reason)
    return found


def accounting_states(text: str) -> dict[str, JobState]:
    """Read what ``sacct`` printed: ``7|CANCELLED by 0|0:15``."""
    found = {}
    for line in text.splitlines():
        fields = line.strip().split("|")
        if len(fields) == 3 and fields[0].isdigit():
            code, _, number = fields[2].partition(":")
            found[fields[0]] = _state(fields[1].split()[0], -int(number or 0) or int(code), "")
    return found


def _state(word: str, code: int | None, reason: str) -> JobState:
    message = "" if reason in _UNTOLD_REASONS else reason
    if word in _WAITING:
        return JobState(JobPhase.QUEUED, None, message)
    if word in _RUNNING:
        return JobState(JobPhase.RUNNING, None, message)
    if word not in _ENDED:
        return UNKNOWN
    if word in ("COMPLETED", "FAILED"):
        return JobState(JobPhase.ENDED, code, message)
    return JobState(JobPhase.ENDED, code or None, f"{word} {message}".strip())


def _wait_status(text: str) -> int | None:
    """Read an exit status as wait(2) gives it: 768 is exit code 3, 15 is SIGTERM."""
    if not text.isdigit():
        return None
    status = int(text)
    return -(status & 0x7F) if status & 0x7F else status >> 8
