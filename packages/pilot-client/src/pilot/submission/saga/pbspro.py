"""PBS Pro and OpenPBS through radical.saga: chunks are asked for exactly, ``qstat`` is asked for all jobs at once.

radical.saga takes the hardware's cores for those of the batch system, asks for no GPUs, lets chunks share a host, and
guesses the ends of jobs that PBS has forgotten. So nodes are looked at before, the line with the chunks is replaced, and PBS
is asked how jobs do.

The invariant: pure, but for the target it is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pilot.submission.queue import Job, JobPhase, JobState
from pilot_protocol.errors import SubmissionError

from .descriptions import SagaRequest, common_attributes, per_node, refuse
from .systems import UNKNOWN, ShellAnswer, Target, removal_failures, whole_number

PBSNODES = "pbsnodes -a"
QSTAT = "qstat -fx "

_PHASES = dict.fromkeys("HQWT", JobPhase.QUEUED) | dict.fromkeys("RESBU", JobPhase.RUNNING)
_PHASES |= dict.fromkeys("FXMC", JobPhase.ENDED)
_HARMLESS = "Unknown Job Id|has finished"


@dataclass(frozen=True)
class Node:
    """What a node offers."""

    cpus: int
    gpus: int


class PbsProSystem:
    """PBS Pro or OpenPBS."""

    def request(self, job: Job, target: Target, /) -> SagaRequest:
        """Return what radical.saga is told of a job.

        Raises:
            SubmissionError: PBS does not answer, or no nodes can run the job.
        """
        answer = target.run(PBSNODES)
        if answer.code != 0:
            raise SubmissionError(f"PBS does not say which nodes it has: {answer.text.strip()}")
        return describe(job, nodes_of(answer.text))

    def states(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, JobState]:
        """Return how jobs do."""
        answer = target.run(QSTAT + " ".join(jobs))
        found = queue_states(answer.text)
        numbers = {job: job.partition(".")[0] for job in jobs}
        return {job: found.get(number) or _unlisted(number, answer) for job, number in numbers.items()}

    def cancel(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, str]:
        """Remove jobs; return what went wrong, by job."""
        return removal_failures(jobs, target.run("qdel " + " ".join(jobs)), harmless=_HARMLESS)


def describe(job: Job, nodes: Sequence[Node]) -> SagaRequest:
    """Return what radical.saga is told of a job.

    Raises:
        SubmissionError: No nodes can run the job.
    """
    refuse(job, "PBS Pro", ["candidate_hosts", "spmd_variation"])
    fitting = [node for node in nodes if _fits(job, node)]
    if not fitting:
        largest = max((node.cpus for node in nodes), default=0), max((node.gpus for node in nodes), default=0)
        raise SubmissionError(
            f"no node of PBS has processes_per_node={job.processes_per_node or 1} and gpus_per_node={job.gpus_per_node}; "
            f"the largest have {largest[0]} cores and {largest[1]} gpus"
        )
    count, cores = per_node(job, max(node.cpus for node in fitting))
    attributes = common_attributes(job) | {"total_cpu_count": count * cores, "processes_per_host": cores}
    asked = f"#PBS -l select={count}:ncpus={cores}"
    chunk = f"{asked}:mpiprocs={cores}"
    if job.gpus_per_node:
        chunk += f":ngpus={job.gpus_per_node}"
    if job.memory_per_node_mb:
        chunk += f":mem={job.memory_per_node_mb}mb"
    whole = job.cores is None and job.processes_per_node is None
    place = "scatter:excl" if whole else "scatter"
    # Not to be run again after a crash: the pilot's units are elsewhere by then.
    return SagaRequest(attributes, [(asked + "\n", f"{chunk}\n#PBS -l place={place}\n#PBS -r n\n")])


def _fits(job: Job, node: Node) -> bool:
    return node.cpus >= (job.processes_per_node or 1) and node.gpus >= job.gpus_per_node


def nodes_of(text: str) -> list[Node]:
    """Read what ``pbsnodes -a`` printed."""
    blocks = re.split(r"\n\s*\n", text)
    return [Node(_amount(block, "ncpus"), _amount(block, "ngpus")) for block in blocks if "ncpus" in block]


def _amount(block: str, resource: str) -> int:
    match = re.search(rf"resources_available\.{resource} = (\d+)", block)
    return int(match[1]) if match else 0


def queue_states(text: str) -> dict[str, JobState]:
    """Read what ``qstat -fx`` printed of jobs, by the number in front of the server's name."""
    found = {}
    for block in re.split(r"^Job Id: ", text, flags=re.MULTILINE)[1:]:
        number = block.split(None, 1)[0].partition(".")[0]
        found[number] = _state(block)
    return found


def _unlisted(number: str, answer: ShellAnswer) -> JobState:
    """Return the state of a job that ``qstat`` does not show: it has ended if that is what ``qstat`` says of it."""
    is_gone = any(
        re.search(rf"\b{number}\b", line) for line in re.findall(rf".*(?:{_HARMLESS}).*", answer.text)
    )
    if answer.code == 0 or is_gone:
        return JobState(JobPhase.ENDED, None, "PBS does not know the job any more")
    return JobState(JobPhase.UNKNOWN, None, answer.text.strip())


def _state(block: str) -> JobState:
    phase = _PHASES.get(_fact(block, "job_state"))
    if phase is None:
        return UNKNOWN
    comment = _fact(block, "comment")
    if phase is not JobPhase.ENDED:
        return JobState(phase, None, comment)
    status = whole_number(_fact(block, "Exit_status"))
    # Above 256 it is a signal's; below 0 PBS's own word, such as -29 for the walltime.
    code = 256 - status if status is not None and status > 256 else status
    return JobState(phase, code if code is None or status is None or status >= 0 else None, comment)


def _fact(block: str, name: str) -> str:
    match = re.search(rf"^\s+{name} = (.*(?:\n\t.*)*)", block, flags=re.MULTILINE)
    return re.sub(r"\n\t", "", match[1]).strip() if match else ""
