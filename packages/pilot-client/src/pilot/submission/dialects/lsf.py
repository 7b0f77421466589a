"""LSF, on any host.

The invariant: nothing of the submitting environment goes with a job; LSF would send all of it.
"""

from __future__ import annotations

import re

from pilot.submission.queue import Job, JobPhase, JobState

from .dialect import Dialect, shape_of, words

_FIELDS = "jobid stat exit_code exit_reason delimiter='|'"

_PHASES = {
    **dict.fromkeys(("PEND", "PROV", "WAIT", "PSUSP"), JobPhase.QUEUED),
    **dict.fromkeys(("RUN", "USUSP", "SSUSP"), JobPhase.RUNNING),
    **dict.fromkeys(("DONE", "EXIT", "ZOMBI"), JobPhase.ENDED),
}


def _directives(job: Job) -> list[str]:
    shape = shape_of(job)
    lines = [f"-J {job.name}", '-env "none"', "-o batch.out", f"-W {job.whole_minutes}"]
    lines.append(f"-n {(shape.nodes or 1) * (shape.cores or 1)}")
    lines += [f'-R "span[ptile={shape.cores or 1}]"'] * (shape.nodes is not None)
    lines += ["-x"] * (shape.cores is None)
    lines += [f'-R "rusage[mem={job.memory_per_node_mb}]"'] * bool(job.memory_per_node_mb)
    lines += [f'-gpu "num={job.gpus_per_node}"'] * bool(job.gpus_per_node)
    lines += [f'-m "{" ".join(job.candidate_hosts)}"'] * bool(job.candidate_hosts)
    lines += [f"-q {job.queue}"] * bool(job.queue)
    lines += [f"-P {job.project}"] * bool(job.project)
    return [f"#BSUB {line}" for line in lines]


def _parse_id(out: str) -> str | None:
    found = re.search(r"Job <(\d+)> is submitted", out)
    return found[1] if found else None


def _parse_states(out: str) -> dict[str, JobState]:
    rows = [line.split("|") for line in out.splitlines()]
    return {row[0].strip(): _state(*(cell.strip() for cell in row[1:4])) for row in rows if len(row) >= 4}


def _state(stat: str, code: str, reason: str) -> JobState:
    phase = _PHASES.get(stat, JobPhase.UNKNOWN)  # UNKWN: the host of the job is not reached
    message = "" if reason == "-" else reason
    if stat == "DONE":
        return JobState(phase, 0, message)
    return JobState(phase, int(code) if phase is JobPhase.ENDED and code.isdigit() else None, message)


LSF = Dialect(
    title="LSF",
    tool="bsub",
    job_file="batch.lsf",
    directives=_directives,
    submit="bsub <batch.lsf",
    parse_id=_parse_id,
    ask=lambda jobs: f'bjobs -a -noheader -o "{_FIELDS}" {words(jobs)}',
    parse_states=_parse_states,
    cancel=lambda jobs: f"bkill {words(jobs)}",
    gone=re.compile(
        r"is not found|illegal job id|job has already finished|no matching job found|is being terminated",
        re.IGNORECASE,
    ),
)
