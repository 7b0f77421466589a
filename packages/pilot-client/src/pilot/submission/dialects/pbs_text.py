"""What Torque and PBS Pro have in common: attributes of jobs as ``qstat -f`` prints them, and complaints.

The invariant: a job is told to have ended only when its own state says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pilot.submission.queue import JobPhase, JobState

from .dialect import SIGNAL_BASE

SIGNALLED = 256
"""An exit status of 256 + n says that signal n ended the job."""

NAME_LENGTH = 15
"""How long the name of a job may be everywhere."""

GONE = re.compile(
    r"unknown job id|job has finished|illegally formed job identifier|invalid state for job - COMPLETE",
    re.IGNORECASE,
)
"""``qstat: Unknown Job Id 12.head``, Torque: ``qdel: Request invalid for state of job MSG=invalid state …``."""

_PHASES = {
    **dict.fromkeys("QHWT", JobPhase.QUEUED),
    **dict.fromkeys("REBSU", JobPhase.RUNNING),  # E: its end is being cleared away; S, U: suspended
    **dict.fromkeys("CFX", JobPhase.ENDED),
}


def parse_id(out: str) -> str | None:
    """Return the id that ``qsub`` printed, ``12.head``: warnings may come before it."""
    found = re.findall(r"^\s*(\d+\.\S+|\d+)\s*$", out, re.MULTILINE)
    return found[-1] if found else None


def parse_jobs(out: str, reasons: Mapping[int, str]) -> dict[str, JobState]:
    """Read what ``qstat -f`` prints.

    Args:
        out: Blocks that begin with ``Job Id:``, with lines ``    key = value``; a tab continues a value.
        reasons: What the batch system's own, negative exit statuses mean.
    """
    unfolded = out.replace("\n\t", "")
    blocks = re.split(r"^Job Id:\s*", unfolded, flags=re.MULTILINE)[1:]
    return {block.split(None, 1)[0]: _state(_attributes(block), reasons) for block in blocks if block.strip()}


def _attributes(block: str) -> dict[str, str]:
    pairs = re.findall(r"^\s+([\w.]+) = (.*)$", block, re.MULTILINE)
    return {key.lower(): value.strip() for key, value in pairs}


def _state(attributes: Mapping[str, str], reasons: Mapping[int, str]) -> JobState:
    phase = _PHASES.get(attributes.get("job_state", ""), JobPhase.UNKNOWN)
    comment = attributes.get("comment", "")
    status = attributes.get("exit_status", "")
    if phase is not JobPhase.ENDED or not re.fullmatch(r"-?\d+", status):
        return JobState(phase, None, comment)
    code = int(status)
    if code < 0:  # the batch system's own, not the script's
        return JobState(phase, None, reasons.get(code, comment or f"ended by the batch system ({code})"))
    return JobState(phase, code - SIGNALLED + SIGNAL_BASE if code > SIGNALLED else code, comment)
