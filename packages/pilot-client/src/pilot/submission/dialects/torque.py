"""Torque, and Torque on a Cray XT5.

The invariant: whatever was asked for, a job that Torque accepts holds at least that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pilot.submission.queue import Job, JobState
from pilot_protocol.errors import SubmissionError

from . import pbs_text
from .dialect import Dialect, Shape, clock, hosts_of, shape_of, words

_REASONS = {
    -1: "the job could not be started (-1)",
    -2: "the job could not be started (-2)",
    -3: "the job could not be started, and should be tried again (-3)",
    -10: "killed: it used more memory than it had asked for (-10)",
    -11: "killed: it ran longer than its walltime (-11)",
}


def _torque(needs: Callable[[Job], Sequence[str]], title: str) -> Dialect:
    return Dialect(
        title=title,
        tool="qsub",
        job_file="batch.torque",
        directives=lambda job: _directives(job, needs(job)),
        submit="qsub batch.torque",
        parse_id=pbs_text.parse_id,
        ask=lambda jobs: f"qstat -f {words(jobs)}",
        parse_states=_parse_states,
        cancel=lambda jobs: f"qdel {words(jobs)}",
        gone=pbs_text.GONE,
    )


def _directives(job: Job, needs: Sequence[str]) -> list[str]:
    lines = [f"-N {job.name[: pbs_text.NAME_LENGTH]}", "-S /bin/sh", "-j oe", *needs]
    lines.append(f"-l walltime={clock(job.whole_minutes)}")
    lines += [f"-q {job.queue}"] * bool(job.queue)
    lines += [f"-A {job.project}"] * bool(job.project)
    return [f"#PBS {line}" for line in lines]


def _nodes(job: Job) -> list[str]:
    shape = shape_of(job)
    nodes = (
        shape.nodes or 1
    )  # cores without nodes lie on one node: `procs` is not understood by every scheduler
    ask = _per_node(job, shape)
    hosts = hosts_of(job, "Torque", nodes)
    lines = ["-l nodes=" + ("+".join(host + ask for host in hosts) or f"{nodes}{ask}")]
    lines += ["-n"] * (shape.cores is None)  # nobody else on these nodes
    lines += [f"-l mem={nodes * job.memory_per_node_mb}mb"] * bool(job.memory_per_node_mb)
    return lines


def _per_node(job: Job, shape: Shape) -> str:
    cores = f":ppn={shape.cores}" if shape.cores else ""
    return cores + (f":gpus={job.gpus_per_node}" if job.gpus_per_node else "")


def _size(job: Job) -> list[str]:
    shape = shape_of(job)
    if shape.cores is None:
        raise SubmissionError(
            "a Cray XT5 is asked for cores, not for nodes: name number_of_processes in the pilot's description"
        )
    return [f"-l size={shape.cores * (shape.nodes or 1)}"]


def _parse_states(out: str) -> Mapping[str, JobState]:
    return pbs_text.parse_jobs(out, _REASONS)


TORQUE = _torque(_nodes, "Torque")
XT5TORQUE = _torque(_size, "Torque on a Cray XT5")
