"""What a batch system gave a job: facts, as far as it tells them. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Callable, Union

Gpus = Union[tuple[str, ...], int]
"""What programs call them, or how many when nobody tells."""


@dataclass(frozen=True)
class NodeShare:
    """What the job has on one node.

    Attributes:
        name: As the batch system calls the node.
        cores: 0 when it does not tell: what the node has.
        gpus: Names for ``CUDA_VISIBLE_DEVICES`` and the like, or a number; None when it does not tell.
        memory_mb: None when it does not tell, or does not limit it.
    """

    name: str
    cores: int = 0
    gpus: Gpus | None = None
    memory_mb: int | None = None


@dataclass(frozen=True)
class Allocation:
    """A batch job.

    Attributes:
        system: The batch system: ``slurm``, ``pbs``, ``sge``, ``lsf``, ``condor``, ``loadl`` or ``cobalt``.
        job: The job's id, as its commands take it.
        nodes: Where it runs; the first one runs its script, as a rule. Empty when the batch system does not tell.
        end_s: When it is ended, in seconds since 1970; None when nobody tells or nothing limits it.
        submit_host: The host it was submitted on; may be empty.
        restarts: How often the batch system has started it again.
    """

    system: str
    job: str
    nodes: tuple[NodeShare, ...]
    end_s: float | None = None
    submit_host: str = ""
    restarts: int = 0


def tell_restart(allocation: Allocation | None) -> str:
    """Return the words for a job that the batch system runs again; empty for any other."""
    if allocation is None or not allocation.restarts:
        return ""
    return f"the batch system runs job {allocation.job} again (restart {allocation.restarts}), but "


@dataclass(frozen=True)
class Findings:
    """What lies about in a job, before anybody has made sense of it.

    Attributes:
        environment: The environment variables.
        files: Content of the files that variables name, by variable; those that cannot be read are missing.
        status: What the batch system's command says of the job; empty when it says nothing.
        now_s: When the command was asked, in seconds since 1970.
        started_s: When the agent started, which is when the job did, but for a moment.
    """

    environment: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    status: str = ""
    now_s: float = 0.0
    started_s: float = 0.0


@dataclass(frozen=True)
class BatchSystem:
    """How to recognize one batch system, and to understand it.

    Attributes:
        is_here: Tells from the environment whether this is a job of it.
        files: Variables that name files to be read.
        command: Returns the command that tells more of the job; empty when there is nothing to ask.
        read: Makes sense of what was found; a :class:`ValueError` says what of it is nonsense.
    """

    is_here: Callable[[Mapping[str, str]], bool]
    files: tuple[str, ...]
    command: Callable[[Mapping[str, str]], Sequence[str]]
    read: Callable[[Findings], Allocation]
