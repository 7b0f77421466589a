"""A queue over a batch system's own commands, run on a place.

The invariant: one command for one question, however many jobs it is about; and a job that the batch system does not speak
of has ended only if the batch system was there to be asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from pilot_protocol.errors import SubmissionError

from .dialects.dialect import Ask, Dialect, ParseStates, job_text
from .login_command import login_command
from .place import Output, Place
from .queue import Job, JobPhase, JobState

NOT_FOUND = 127
"""The exit code of a shell that does not find a command."""


class CommandQueue:
    """A batch system that is spoken to through its commands.

    Args:
        place: The machine on which the commands are.
        dialect: What the batch system understands and says.
    """

    def __init__(self, place: Place, dialect: Dialect) -> None:
        self._place = place
        self._dialect = dialect

    def submit(self, job: Job) -> str:
        """Hand a job over, and return its id.

        Raises:
            SubmissionError: The batch system does not take it, is not there, or does not answer; or the job needs what
                the batch system cannot be asked for.
        """
        content = job_text(self._dialect, job).encode()
        file = self._dialect.job_file
        clear = f"{{ code=$?; rm -f {file}; exit $code; }}"  # else the sandbox would not count as empty
        written = f"(umask 077 && cat >{file})"
        command = f"cd {shlex.quote(job.folder)} && {{ {written} && {self._dialect.submit} || {clear}; }}"
        output = self._run(command, content)
        found = self._dialect.parse_id(output.text) if output.code == 0 else None
        if found is None:
            raise SubmissionError(f"{self._name} does not take the job {job.name}: {_said(output)}")
        return found

    def states(self, jobs: Sequence[str]) -> Mapping[str, JobState]:
        """Return how jobs do, with one command, or two when some have left the queue."""
        recall = self._dialect.recall
        states = self._ask(jobs, self._dialect.ask, self._dialect.parse_states)
        if recall is not None:
            states |= self._ask(_without(jobs, states), recall.ask, recall.parse_states)
        return states | dict.fromkeys(_without(jobs, states), JobState(JobPhase.ENDED))

    def cancel(self, jobs: Sequence[str]) -> None:
        """Remove jobs with one command; those that are not there any more are no trouble.

        Raises:
            SubmissionError: The batch system does not answer or refuses.
        """
        if not jobs:
            return
        output = self._run(self._dialect.cancel(jobs))
        complaint = self._complaint(output)
        if complaint:
            raise SubmissionError(f"{self._name} does not cancel {', '.join(jobs)}: {complaint}")

    def close(self) -> None:
        """Do nothing: the place belongs to whoever opened it."""

    @property
    def _name(self) -> str:
        return f"{self._dialect.title} on {self._place.name}"

    def _run(self, command: str, given: bytes = b"") -> Output:
        output = self._place.run(login_command(self._dialect.tool, command), given=given)
        if output.code == NOT_FOUND:
            raise SubmissionError(
                f"{self._name} is not there: {_said(output)}; its commands, {self._dialect.tool} among them, must be on "
                "the PATH of a login shell"
            )
        return output

    def _ask(self, jobs: Sequence[str], ask: Ask, parse: ParseStates) -> dict[str, JobState]:
        """Return what is known of jobs: nothing of those that the batch system has forgotten."""
        if not jobs:
            return {}
        try:
            output = self._run(ask(jobs))
        except SubmissionError as error:
            return dict.fromkeys(jobs, JobState(JobPhase.UNKNOWN, None, str(error)))
        told = parse(output.text)
        states = {job: told[job] for job in jobs if job in told}
        complaint = self._complaint(output)
        if complaint:
            silent = JobState(JobPhase.UNKNOWN, None, f"{self._name}: {complaint}")
            states |= dict.fromkeys(_without(jobs, states), silent)
        return states

    def _complaint(self, output: Output) -> str:
        """Return what a command that failed complains of, other than that jobs are not there any more."""
        if output.code == 0:
            return ""
        lines = [line.strip() for line in (output.err or output.text).splitlines() if line.strip()]
        if not lines:
            return _said(output)
        return "; ".join(line for line in lines if not self._dialect.gone.search(line))


def _without(jobs: Sequence[str], known: Iterable[str]) -> list[str]:
    there = set(known)
    return [job for job in jobs if job not in there]


def _said(output: Output) -> str:
    text = output.err.strip() or output.text.strip()
    return "; ".join(text.splitlines()) or f"it says nothing, and its exit code is {output.code}"
