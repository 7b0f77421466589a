"""Batch systems that radical.saga reaches: how a job is asked for, and how one learns what became of it.

What radical.saga says of jobs is wrong for some systems, and costs a command for each job. For those that have a module of
their own the batch system is asked, over the shell that radical.saga holds open on the target.

The invariant: a system knows commands and their answers, but neither processes nor connections.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pilot.submission.queue import Job, JobPhase, JobState
from pilot_protocol.errors import SubmissionError

from .descriptions import SagaRequest, common_attributes, is_plain, refuse

UNKNOWN = JobState(JobPhase.UNKNOWN)


@dataclass(frozen=True)
class ShellAnswer:
    """What a command on the target left behind.

    Attributes:
        code: Its exit code.
        text: What it printed, standard error included.
    """

    code: int
    text: str


class Target(Protocol):
    """Where jobs are handed over: commands run there as the batch system's do, and radical.saga is connected to it.

    Each method raises SubmissionError when there is no answer.
    """

    def run(self, command: str) -> ShellAnswer:
        """Run a command line."""

    def ask_saga(self, jobs: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Ask radical.saga for jobs: ``state`` and ``exit_code`` of each, or ``error``."""

    def cancel_by_saga(self, jobs: Sequence[str]) -> Mapping[str, str]:
        """Let radical.saga cancel jobs; return what went wrong, by job."""


class System(Protocol):
    """A batch system."""

    def request(self, job: Job, target: Target, /) -> SagaRequest:
        """Return what radical.saga is told of a job.

        Raises:
            SubmissionError: The job cannot be asked for, or would wait for ever.
        """

    def states(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, JobState]:
        """Return how jobs do."""

    def cancel(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, str]:
        """Remove jobs; return what went wrong, by job. That a job has ended already is nothing wrong."""


_PHASES = {
    "New": JobPhase.QUEUED,
    "Pending": JobPhase.QUEUED,
    "Running": JobPhase.RUNNING,
    "Suspended": JobPhase.RUNNING,
    "Done": JobPhase.ENDED,
    "Failed": JobPhase.ENDED,
    "Canceled": JobPhase.ENDED,
}
_NO_SUCH_JOB = re.compile(
    r"illegal job id|unknown job|does not exist|no such job|job \S+ (is )?not found", re.IGNORECASE
)


class SagaSystem:
    """A batch system of which radical.saga knows all that we know.

    Args:
        name: What messages call it.
        unasked: Fields of a job that it cannot be asked for.
        invented_queue: The line by which radical.saga names a queue of its own where none is given; it is taken out.
        takes_shell: Its script is run by a shell, so that folders of any name are possible.
        becomes: Nothing comes after our script in that of radical.saga, so that it can take the place of the shell.
    """

    def __init__(
        self,
        name: str,
        unasked: Sequence[str],
        *,
        invented_queue: str = "",
        takes_shell: bool = True,
        becomes: bool = False,
    ) -> None:
        self._name = name
        self._unasked = unasked
        self._invented_queue = invented_queue
        self._takes_shell = takes_shell
        self._becomes = becomes

    def request(self, job: Job, _target: Target, /) -> SagaRequest:
        """Return what radical.saga is told of a job.

        Raises:
            SubmissionError: It cannot be asked for.
        """
        refuse(job, self._name, self._unasked)
        if not self._takes_shell and not is_plain(job):
            raise SubmissionError(
                f"the folder {job.folder!r} cannot be passed on to {self._name}; give a working_directory of letters, "
                "digits and ._+@-"
            )
        attributes = common_attributes(job, becomes=self._becomes)
        cores = job.cores or (job.nodes or 1) * (job.processes_per_node or 0)
        if not cores:
            raise SubmissionError(
                f"radical.saga cannot ask {self._name} for whole nodes; give number_of_processes"
            )
        attributes["total_cpu_count"] = cores
        if job.processes_per_node:
            attributes["processes_per_host"] = job.processes_per_node
        if job.gpus_per_node:
            attributes["total_gpu_count"] = job.gpus_per_node * (job.nodes or 1)
        if job.candidate_hosts:
            attributes["candidate_hosts"] = list(job.candidate_hosts)
        edits = [(self._invented_queue, "")] if self._invented_queue and not job.queue else []
        return SagaRequest(attributes, edits)

    def states(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, JobState]:
        """Return how jobs do, as radical.saga says."""
        return {job: saga_state(told) for job, told in target.ask_saga(jobs).items()}

    def cancel(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, str]:
        """Remove jobs; return what went wrong, by job."""
        failed = target.cancel_by_saga(jobs)
        return {job: text for job, text in failed.items() if not is_gone(text)}


def saga_state(told: Mapping[str, Any]) -> JobState:
    """Translate what radical.saga says of a job; what it does not know is no news."""
    error = str(told.get("error") or "")
    if error:
        return JobState(JobPhase.ENDED if is_gone(error) else JobPhase.UNKNOWN, None, error)
    state = str(told.get("state"))
    phase = _PHASES.get(state, JobPhase.UNKNOWN)
    if phase is not JobPhase.ENDED:
        return JobState(phase)
    return JobState(phase, whole_number(told.get("exit_code")), "" if state == "Done" else state)


def is_gone(error: str) -> bool:
    """Return whether radical.saga complains about a job that is not there any more."""
    return _NO_SUCH_JOB.search(error) is not None


def removal_failures(jobs: Sequence[str], answer: ShellAnswer, harmless: str) -> Mapping[str, str]:
    """Read what a command for the removal of jobs said.

    Args:
        jobs: The jobs.
        answer: What the command left behind.
        harmless: Pattern of complaints about jobs that have ended already.
    """
    if answer.code == 0:
        return {}
    said = [line for line in answer.text.splitlines() if line.strip()] or [f"exit code {answer.code}"]
    complaints = [line for line in said if not re.search(harmless, line)]
    named = {job: line for line in complaints for job in jobs if re.search(rf"\b{re.escape(job)}\b", line)}
    return named or dict.fromkeys(jobs, "\n".join(complaints)) if complaints else {}


def whole_number(value: object) -> int | None:
    """Return a number that may come as text, or as a word that is none (radical.saga says ``Done`` for exit codes)."""
    try:
        return int(str(value))
    except ValueError:
        return None
