"""HTCondor, the pool of the machine that submits. A queue is a universe: ``vanilla`` (the default) or ``local``.

The job file is the executable; its directives are the submit description. HTCondor has no walltime, so the description
removes a job that has run too long.

The invariant: the sandbox is on a file system that the pool shares; HTCondor moves no files.
"""

from __future__ import annotations

import re

from pilot.submission.queue import Job, JobPhase, JobState
from pilot_protocol.errors import SubmissionError

from .dialect import SIGNAL_BASE, Dialect, Recall, shape_of, words

_PREFIX = "#CONDOR "
_FIELDS = "ClusterId ProcId JobStatus ExitBySignal ExitCode ExitSignal HoldReason RemoveReason"
_REMOVED, _HELD = "3", "5"

_IN_QUEUE = {
    **dict.fromkeys(("1", _HELD), JobPhase.QUEUED),
    **dict.fromkeys(("2", _REMOVED, "6", "7"), JobPhase.RUNNING),  # 3: its processes are being ended
    "4": JobPhase.ENDED,
}


def _directives(job: Job) -> list[str]:
    lines = [
        f"universe = {job.queue or 'vanilla'}",
        "executable = batch.condor",
        "output = batch.out",
        "error = batch.out",
        "log = batch.log",
        "should_transfer_files = NO",
        f'+JobBatchName = "{job.name}"',
        f"request_cpus = {_cores(job)}",
        f"periodic_remove = JobStatus == 2 && time() - JobCurrentStartDate > {60 * job.whole_minutes}",
    ]
    lines += [f"request_memory = {job.memory_per_node_mb}"] * bool(job.memory_per_node_mb)
    lines += [f"request_gpus = {job.gpus_per_node}"] * bool(job.gpus_per_node)
    lines += [f"accounting_group = {job.project}"] * bool(job.project)
    hosts = " || ".join(f'Machine == "{host}"' for host in job.candidate_hosts)
    lines += [f"requirements = {hosts}"] * bool(hosts)
    return [_PREFIX + line for line in (*lines, "queue")]


def _cores(job: Job) -> int:
    shape = shape_of(job)
    if shape.cores is None:
        raise SubmissionError(
            "HTCondor hands out cores, not whole machines: name number_of_processes in the pilot's description"
        )
    if (shape.nodes or 1) > 1:
        raise SubmissionError(
            f"HTCondor runs a job on one machine, and the pilot asks for {shape.nodes} nodes: start as many pilots"
        )
    return shape.cores


def _parse_id(out: str) -> str | None:
    found = re.search(r"submitted to cluster (\d+)", out)
    return f"{found[1]}.0" if found else None


def _in_queue(out: str) -> dict[str, JobState]:
    return {job: _state(_IN_QUEUE.get(cells[0], JobPhase.UNKNOWN), cells) for job, cells in _rows(out)}


def _in_history(out: str) -> dict[str, JobState]:
    return {job: _state(JobPhase.ENDED, cells) for job, cells in _rows(out)}


def _rows(out: str) -> list[tuple[str, list[str]]]:
    rows = [[cell.strip() for cell in line.split(",", 6)] for line in out.splitlines()]
    return [(f"{row[0]}.{row[1]}", row[2:]) for row in rows if len(row) == 7 and row[0].isdigit()]


def _state(phase: JobPhase, cells: list[str]) -> JobState:
    status, by_signal, code, signal, reasons = cells
    message = reasons.replace("undefined", "").strip(", ")
    if phase is not JobPhase.ENDED or status == _REMOVED:  # what was removed has not exited by itself
        return JobState(phase, None, message)
    if by_signal == "true" and signal.isdigit():
        return JobState(phase, SIGNAL_BASE + int(signal), message)
    return JobState(phase, int(code) if code.isdigit() else None, message)


CONDOR = Dialect(
    title="HTCondor",
    tool="condor_submit",
    job_file="batch.condor",
    directives=_directives,
    submit=f"chmod 700 batch.condor && sed -n 's/^{_PREFIX}//p' batch.condor | condor_submit",
    parse_id=_parse_id,
    ask=lambda jobs: f"condor_q {words(jobs)} -af:, {_FIELDS}",
    parse_states=_in_queue,
    cancel=lambda jobs: f"condor_rm {words(jobs)}",
    gone=re.compile(r"Job \S+ (not found|marked for removal)|couldn't find/remove all jobs", re.IGNORECASE),
    recall=Recall(
        ask=lambda jobs: f"condor_history {words(jobs)} -limit {len(jobs)} -af:, {_FIELDS}",
        parse_states=_in_history,
    ),
)
