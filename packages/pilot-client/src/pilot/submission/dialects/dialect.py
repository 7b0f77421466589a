"""What a queue has to know of a batch system: how a job is described to it, and what its commands say.

The invariant: a dialect is text in, text out. It runs nothing, and what it puts on a command line is quoted.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pilot.submission.queue import Job, JobState
from pilot_protocol.errors import SubmissionError

Ask = Callable[[Sequence[str]], str]
"""Makes one command line for all the jobs given."""

ParseStates = Callable[[str], Mapping[str, JobState]]
"""Reads the states of jobs, by their ids, out of a command's standard output."""

SIGNAL_BASE = 128
"""A script that signal n ended has the exit code 128 + n in all dialects, as in a shell."""

_PLAIN = re.compile(r"[\w.@:+,=/-]*")


@dataclass(frozen=True)
class Recall:
    """Where a batch system keeps the jobs that its queue has forgotten.

    Attributes:
        ask: The command.
        parse_states: What it prints.
    """

    ask: Ask
    parse_states: ParseStates


@dataclass(frozen=True)
class Dialect:
    """A batch system's way to speak.

    Attributes:
        title: What messages call it.
        tool: The command without which it is not there.
        job_file: Name of the job file in the sandbox; all its names there begin with ``batch``.
        directives: The lines at the head of the job file that say what a job needs.
        submit: The command that submits the job file of the folder it is run in.
        parse_id: Finds the job's id in what that prints; None when there is none.
        ask: How do these jobs do?
        parse_states: What the answer says; jobs it knows nothing of are left out.
        cancel: The command that removes jobs.
        gone: A line that is no complaint even if the command failed: a job is not there any more, or will be gone soon.
        recall: What to ask about jobs that are not there any more; None when nobody knows.
    """

    title: str
    tool: str
    job_file: str
    directives: Callable[[Job], Sequence[str]]
    submit: str
    parse_id: Callable[[str], str | None]
    ask: Ask
    parse_states: ParseStates
    cancel: Ask
    gone: re.Pattern[str]
    recall: Recall | None = None


def job_text(dialect: Dialect, job: Job) -> str:
    """Return the job file: a shell script that becomes the job's own script, so that signals reach that one.

    The output is redirected by the shell, because batch systems quote paths in their own ways, or keep the output back
    until the job has ended.

    Raises:
        SubmissionError: The batch system has no way to say what the job needs.
    """
    for value in (job.name, job.queue, job.project, *job.candidate_hosts):
        if not _PLAIN.fullmatch(value):
            raise SubmissionError(
                f"{value!r} cannot be handed to {dialect.title}: queues, projects and hosts are single words of letters, "
                "digits and . _ @ : + , = / -"
            )
    quote = shlex.quote
    lines = (
        "#!/bin/sh",
        *dialect.directives(job),
        f"cd {quote(job.folder)} || exit 1",
        f"exec {quote(job.script)} </dev/null >{quote(job.output)} 2>{quote(job.error)}",
    )
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Shape:
    """How a job lies on nodes.

    Attributes:
        nodes: How many; None: wherever its cores are free.
        cores: On each node, or in all when ``nodes`` is None; None: whole nodes.
    """

    nodes: int | None
    cores: int | None


def shape_of(job: Job) -> Shape:
    """Return how a job lies on nodes. What it needs on each node fixes their number: one, unless it says more."""
    per_node = job.processes_per_node
    if job.cores is None:
        return Shape(job.nodes or 1, per_node)
    if per_node is not None:
        return Shape(job.nodes or math.ceil(job.cores / per_node), per_node)
    nodes = job.nodes or (1 if job.gpus_per_node or job.memory_per_node_mb else None)
    return Shape(nodes, job.cores if nodes is None else math.ceil(job.cores / nodes))


def hosts_of(job: Job, title: str, nodes: int) -> Sequence[str]:
    """Return the hosts of a job, for a batch system that takes named hosts but does not choose among them.

    Raises:
        SubmissionError: There are more or fewer hosts than nodes.
    """
    if job.candidate_hosts and len(job.candidate_hosts) != nodes:
        raise SubmissionError(
            f"{title} does not choose among hosts: candidate_hosts names {len(job.candidate_hosts)}, the pilot has "
            f"{nodes} node(s); name as many hosts as nodes"
        )
    return job.candidate_hosts


def clock(minutes: int) -> str:
    """Return a duration as ``hours:minutes:seconds``."""
    return f"{minutes // 60:02}:{minutes % 60:02}:00"


def words(jobs: Sequence[str]) -> str:
    """Return jobs as arguments of a command line."""
    return " ".join(shlex.quote(job) for job in jobs)
