"""PBS Pro and OpenPBS.

The invariant: jobs in the history are asked for together with those in the queue, so that an end is told with its exit
status as long as the history goes.
"""

from __future__ import annotations

from collections.abc import Mapping

from pilot.submission.queue import Job, JobState

from . import pbs_text
from .dialect import Dialect, Shape, clock, hosts_of, shape_of, words

_REASONS = {
    -1: "the job could not be started (-1)",
    -2: "the job could not be started (-2)",
    -3: "the job could not be started, and should be tried again (-3)",
    -27: "killed: it used more processor time than it had asked for (-27)",
    -28: "killed: it used more memory than it had asked for (-28)",
    -29: "killed: it ran longer than its walltime (-29)",
}


def _directives(job: Job) -> list[str]:
    shape = shape_of(job)
    lines = [
        f"-N {job.name[: pbs_text.NAME_LENGTH]}",
        "-S /bin/sh",
        "-j oe",
        f"-l select={_select(job, shape)}",
    ]
    lines += [f"-l place=scatter{':excl' * (shape.cores is None)}"] * (shape.nodes is not None)
    lines.append(f"-l walltime={clock(job.whole_minutes)}")
    lines += [f"-q {job.queue}"] * bool(job.queue)
    lines += [f"-A {job.project}"] * bool(job.project)
    return [f"#PBS {line}" for line in lines]


def _select(job: Job, shape: Shape) -> str:
    if shape.nodes is None and not job.candidate_hosts:
        return f"{shape.cores}:ncpus=1"  # chunks of one core find room anywhere
    nodes = shape.nodes or 1
    chunk = f":ncpus={shape.cores or 1}"
    chunk += f":ngpus={job.gpus_per_node}" * bool(job.gpus_per_node)
    chunk += f":mem={job.memory_per_node_mb}mb" * bool(job.memory_per_node_mb)
    hosts = hosts_of(job, "PBS Pro", nodes)
    return "+".join(f"1{chunk}:host={host}" for host in hosts) or f"{nodes}{chunk}"


def _parse_states(out: str) -> Mapping[str, JobState]:
    return pbs_text.parse_jobs(out, _REASONS)


PBSPRO = Dialect(
    title="PBS Pro",
    tool="qsub",
    job_file="batch.pbspro",
    directives=_directives,
    submit="qsub batch.pbspro",
    parse_id=pbs_text.parse_id,
    ask=lambda jobs: f"qstat -fx {words(jobs)}",
    parse_states=_parse_states,
    cancel=lambda jobs: f"qdel {words(jobs)}",
    gone=pbs_text.GONE,
)
