"""What radical.saga is told of a job: attributes of its job description, and corrections of the script it makes of them.

radical.saga puts values into shell lines and directives as they are, and each adaptor has its own bugs. So a job is one
script without arguments and environment, and nothing is passed on that saga's joining would change or a shell run.

The invariant: pure; whatever cannot be asked for is refused with the key of the pilot's description, never dropped.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pilot.submission.queue import Job
from pilot_protocol.errors import SubmissionError

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_.+@/-]*")
"""No quoting needed in a shell line, and no meaning in a directive (``%`` is one to Slurm, ``:`` to PBS)."""
_PLAIN_VALUE = re.compile(r"[^\s\"'\\$`;&|<>()!*?#]+")
_BEYOND_QUOTING = re.compile(r"[`\\!\x00-\x1f\x7f]")
"""What a quoted path may not have, since radical.saga passes it through one or two more shells."""
NOWHERE = "/dev/null"

DESCRIPTION_KEYS = {
    "cores": "number_of_processes",
    "nodes": "number_of_nodes",
    "processes_per_node": "processes_per_node",
    "gpus_per_node": "gpus_per_node",
    "memory_per_node_mb": "memory_per_node_mb",
    "queue": "queue",
    "project": "project",
    "candidate_hosts": "candidate_hosts",
    "spmd_variation": "spmd_variation",
}
"""Fields of a job, and the keys by which a pilot's description gives them."""


@dataclass(frozen=True)
class SagaRequest:
    """A submission through radical.saga.

    Attributes:
        attributes: Of its job description.
        edits: Texts of the batch script that it makes, and what has to stand there instead.
        allowed: Further values that an attribute may have.
        scratch: Folder on the target for what its script notes about the job; empty: where it wants.
    """

    attributes: Mapping[str, Any]
    edits: Sequence[tuple[str, str]] = ()
    allowed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scratch: str = ""

    @property
    def fields(self) -> dict[str, Any]:
        """The request as the helper gets it."""
        return {
            "attributes": dict(self.attributes),
            "edits": [list(edit) for edit in self.edits],
            "allowed": {name: list(values) for name, values in self.allowed.items()},
            "scratch": self.scratch,
        }


def common_attributes(job: Job, *, becomes: bool = True) -> dict[str, Any]:
    """Return what every batch system is told alike: script, folder, output, name, walltime, queue and project.

    A folder that is not plain is known to our own line of shell only, which goes there and redirects the output.

    Args:
        job: The job.
        becomes: Whether the script takes the place of the batch system's shell (``exec``), so that signals come to it.

    Raises:
        SubmissionError: A path, the queue or the project has characters that cannot be passed on.
    """
    attributes: dict[str, Any] = {"name": job.name, "wall_time_limit": job.whole_minutes}
    for name in ("queue", "project"):
        value = getattr(job, name)
        if value:
            attributes[name] = plain_value(name, value)
    start = "exec " if becomes else ""
    if is_plain(job):
        attributes |= {"executable": start + job.script, "working_directory": job.folder}
        return attributes | {"output": job.output, "error": job.error}
    for path in _paths(job):
        _refuse_beyond_quoting(path)
    folder, script, output, error = (shlex.quote(path) for path in _paths(job))
    line = f"cd {folder} && {start}{script} >{output} 2>{error}"
    return attributes | {"executable": line, "output": NOWHERE, "error": NOWHERE}


def is_plain(job: Job) -> bool:
    """Return whether the paths of a job mean nothing to shells and batch systems but themselves."""
    return all(_PLAIN_PATH.fullmatch(path) for path in _paths(job))


def plain_value(name: str, value: str) -> str:
    """Return a value that can stand in a directive.

    Raises:
        SubmissionError: It cannot.
    """
    if not _PLAIN_VALUE.fullmatch(value):
        key = DESCRIPTION_KEYS[name]
        raise SubmissionError(
            f"{key} is {value!r}; quotes, blanks and characters of the shell are not allowed"
        )
    return value


def whole_nodes(job: Job) -> int | None:
    """Return how many whole nodes a job wants; None when it wants a number of cores."""
    return None if job.cores is not None or job.processes_per_node is not None else job.nodes or 1


def refuse(job: Job, system: str, names: Sequence[str], advice: str = "") -> None:
    """Refuse fields of a job that a batch system cannot be asked for.

    Raises:
        SubmissionError: One of them is given.
    """
    for name in names:
        value = getattr(job, name)
        if value:
            hint = f"; {advice}" if advice else "; leave it away"
            raise SubmissionError(
                f"{DESCRIPTION_KEYS[name]} is {value!r}, which radical.saga cannot ask {system} for{hint}"
            )


def per_node(job: Job, cores_of_node: int) -> tuple[int, int]:
    """Return how many nodes a job gets, and how many cores on each, as few nodes as its cores need.

    Args:
        job: The job.
        cores_of_node: What a node has.
    """
    nodes = whole_nodes(job)
    if nodes is not None:
        return nodes, cores_of_node
    cores = job.cores or (job.nodes or 1) * (job.processes_per_node or 1)
    most = job.processes_per_node or cores_of_node
    nodes = job.nodes or -(-cores // most)
    return nodes, job.processes_per_node or -(-cores // nodes)


def _paths(job: Job) -> tuple[str, str, str, str]:
    return job.folder, job.script, job.output, job.error


def _refuse_beyond_quoting(path: str) -> None:
    if _BEYOND_QUOTING.search(path):
        raise SubmissionError(
            f"the path {path!r} cannot be passed on by radical.saga: it has a backquote, a backslash, an exclamation mark "
            "or a control character; give another working_directory"
        )
