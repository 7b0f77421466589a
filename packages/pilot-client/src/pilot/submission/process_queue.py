"""A machine without a batch system as a queue: a job is a session of processes, which starts at once.

A job's id is ``<pid>.<start time>:<folder>``, so that a process that got the same number later is never taken for it, and any
client can find its exit code, which is kept in the file ``exit_code`` in the job's folder. There is no limit of walltime:
the agent keeps its own.

The invariant: submitting, asking and cancelling are one command each, however many jobs they are about.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from pilot_protocol.errors import SubmissionError

from . import process_scripts
from .place import Output, Place
from .queue import Job, JobPhase, JobState

GRACE_S = 10.0
"""How long a cancelled job may take to end its units before it is killed."""

KILL_S = 60.0
"""How long the rest of a cancellation may take: killing, and the way to the machine."""

_NUMBER = re.compile(r"\d+\.\d+")
_ID = re.compile(r"\d+\.\d+:/[^\n]*")
_UNEXPLAINED = "it left no exit code: it was killed, or the machine was started anew"


class ProcessQueue:
    """A machine that runs every job at once.

    Args:
        place: The machine. It needs Linux, a POSIX shell and ``setsid``.
        grace_s: How long a cancelled job may take to end by itself, in seconds.
    """

    def __init__(self, place: Place, grace_s: float = GRACE_S) -> None:
        self._place = place
        self._grace_s = grace_s

    def submit(self, job: Job) -> str:
        """Start a job, and return its id.

        Raises:
            SubmissionError: It cannot be started, or the machine is not reached.
        """
        if "\n" in job.folder:
            raise SubmissionError(
                f"the folder {job.folder!r} of {job.name} has a line break in its name; use another one"
            )
        arguments = (process_scripts.KEEPER, job.folder, job.script, job.output, job.error)
        output = self._place.run(_program(process_scripts.SUBMIT, *arguments))
        number = output.text.strip()
        if output.code != 0 or not _NUMBER.fullmatch(number):
            raise SubmissionError(f"{job.name} cannot be started on {self._place.name}: {_said(output)}")
        return f"{number}:{job.folder}"

    def states(self, jobs: Sequence[str]) -> Mapping[str, JobState]:
        """Return how jobs do, with one command."""
        ended = dict.fromkeys(jobs, JobState(JobPhase.ENDED))
        known = [job for job in jobs if _ID.fullmatch(job)]
        return ended | self._ask(known) if known else ended

    def cancel(self, jobs: Sequence[str]) -> None:
        """End jobs with all their processes, and wait until these are gone.

        Raises:
            SubmissionError: Some processes do not end, or the machine is not reached.
        """
        known = [job for job in jobs if _ID.fullmatch(job)]
        if not known:
            return
        command = _program(process_scripts.CANCEL, str(int(self._grace_s * 5)))
        output = self._place.run(command, given=_lines(known), limit_s=self._grace_s + KILL_S)
        if output.code != 0:
            raise SubmissionError(
                f"on {self._place.name}, {', '.join(jobs)} cannot be cancelled: {_said(output)}"
            )

    def close(self) -> None:
        """Do nothing: the place belongs to whoever opened it."""

    def _ask(self, jobs: Sequence[str]) -> dict[str, JobState]:
        try:
            output = self._place.run(_program(process_scripts.STATES), given=_lines(jobs))
        except SubmissionError as error:
            return dict.fromkeys(jobs, JobState(JobPhase.UNKNOWN, None, str(error)))
        told = output.text.splitlines()
        if len(told) != len(jobs):
            silence = f"{self._place.name} does not say how its processes do: {_said(output)}"
            return dict.fromkeys(jobs, JobState(JobPhase.UNKNOWN, None, silence))
        return {job: _state(line) for job, line in zip(jobs, told, strict=True)}


def _program(text: str, *arguments: str) -> str:
    return " ".join(("exec /bin/sh -c", shlex.quote(text), "pilot", *map(shlex.quote, arguments)))


def _lines(jobs: Sequence[str]) -> bytes:
    return "".join(f"{job}\n" for job in jobs).encode()


def _state(line: str) -> JobState:
    phase, _, code = line.partition(" ")
    if phase == "running":
        return JobState(JobPhase.RUNNING)
    if not code.isdigit():
        return JobState(JobPhase.ENDED, None, _UNEXPLAINED)
    return JobState(JobPhase.ENDED, int(code))


def _said(output: Output) -> str:
    text = output.err.strip() or output.text.strip()
    return "; ".join(text.splitlines()) or f"it says nothing, and its exit code is {output.code}"
