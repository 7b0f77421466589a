"""A queue: a batch system, or what stands in for one. Jobs go in, ids come out, states can be asked for.

The invariant: a queue is told one script without arguments and environment, so that no quoting but ours matters. What it
says of a job is a hint; a pilot's agent knows better, once it runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """A placeholder job as a batch system gets it. All paths are absolute, and are those of the target.

    Attributes:
        name: What the batch system shows, ``pilot-<id>``.
        script: An executable shell script; it is the whole job.
        folder: The pilot's sandbox, which exists.
        output: File for its standard output, in the sandbox.
        error: File for its standard error, in the sandbox.
        walltime_min: Minutes, also fractions.
        cores: In all; None: whole nodes.
        nodes: How many; None: as many as the cores need.
        processes_per_node: Cores wanted on each node; None: all.
        gpus_per_node: GPUs on each node.
        memory_per_node_mb: Memory on each node; 0: the queue's default.
        queue: Queue or partition; empty: the default one.
        project: Account to be charged; empty: the default one.
        candidate_hosts: Hosts to choose from; empty: any.
        spmd_variation: Parallel environment (Grid Engine); empty: chosen by the backend.
    """

    name: str
    script: str
    folder: str
    output: str
    error: str
    walltime_min: float
    cores: int | None = None
    nodes: int | None = None
    processes_per_node: int | None = None
    gpus_per_node: int = 0
    memory_per_node_mb: int = 0
    queue: str = ""
    project: str = ""
    candidate_hosts: Sequence[str] = ()
    spmd_variation: str = ""

    @property
    def whole_minutes(self) -> int:
        """The walltime, rounded up to minutes."""
        return math.ceil(self.walltime_min)


class JobPhase(Enum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"
    """The batch system gives no news: it is not reached, or hiccups. Ask again later; it means nothing else."""


@dataclass(frozen=True)
class JobState:
    """What a batch system says of a job.

    Attributes:
        phase: How far it is. A job that the batch system has forgotten has ENDED.
        exit_code: Of its script, when it has ended and the batch system tells; else None.
        message: The batch system's own words: why it waits, how it ended. May be empty.
    """

    phase: JobPhase
    exit_code: int | None = None
    message: str = ""


class Queue(Protocol):
    """A batch system."""

    def submit(self, job: Job) -> str:
        """Hand a job over, and return its id as soon as the batch system has given it one.

        Raises:
            SubmissionError: The batch system does not take it (its own words are in the message), is not there, or does
                not answer.
        """

    def states(self, jobs: Sequence[str]) -> Mapping[str, JobState]:
        """Return how jobs do, all asked for with as few commands as possible.

        Never raises for a batch system that does not answer: its jobs are UNKNOWN then.
        """

    def cancel(self, jobs: Sequence[str]) -> None:
        """Remove jobs, waiting or running ones; those that have ended already are no trouble.

        Raises:
            SubmissionError: The batch system does not answer or refuses.
        """

    def close(self) -> None:
        """Give up what belongs to this connection: helper processes, shells. Jobs stay."""
