"""Batch systems through radical.saga, which runs in a helper process and never in the application's.

The invariant: one thing is asked at a time; a job that has ended stays so.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from pilot.submission.base import refuse, scheme_of
from pilot.submission.queue import Job, JobPhase, JobState
from pilot_protocol.errors import MissingExtraError, SubmissionError

from .pbspro import PbsProSystem
from .sge import SgeSystem
from .slurm import SlurmSystem
from .systems import SagaSystem, System
from .target import FindLogin, SagaTarget

logger = logging.getLogger(__name__)

REQUEST_LIMIT_S = 60.0
JOBS_AT_ONCE = 100
"""Jobs in one command line: a terminal takes 4096 characters."""

_EVERY = ["", "+ssh", "+gsissh"]
_FAR = ["+ssh", "+gsissh"]
_COMMON = ["memory_per_node_mb", "spmd_variation"]
_LOADL_CLASS = "#@ class = edison\n"
_SYSTEMS: dict[str, tuple[list[str], Callable[[Mapping[str, str]], System]]] = {
    "slurm": (_EVERY, lambda _query: SlurmSystem()),
    "pbspro": (_EVERY, lambda _query: PbsProSystem()),
    "sge": (_EVERY, SgeSystem),
    "loadl": (
        _EVERY,
        lambda _query: SagaSystem("LoadLeveler", [*_COMMON, "gpus_per_node"], invented_queue=_LOADL_CLASS),
    ),
    "cobalt": (
        _EVERY,
        lambda _query: SagaSystem("Cobalt", [*_COMMON, "candidate_hosts", "gpus_per_node"], becomes=True),
    ),
    "lsf": (_EVERY, lambda _query: SagaSystem("LSF", [*_COMMON, "candidate_hosts"])),
    "condor": (_FAR, lambda _query: SagaSystem("HTCondor", [*_COMMON, "gpus_per_node"], takes_shell=False)),
}
SCHEMES = frozenset(name + way for name, (ways, _) in _SYSTEMS.items() for way in ways)
"""Schemes of service URLs that radical.saga can be asked for."""

_NUMBER = re.compile(r"[A-Za-z0-9_.-]+")
_NO_JOB = JobState(JobPhase.ENDED, None, "this is no job's id")
_NOISE = re.compile(r"^\s*(Traceback \(most recent call last\):|File \".*|\^+|Exiting\.)\s*$")
_COMMAND_LINE = re.compile(r"[\[:]\s*SCRIPTFILE=.*|\.? Script:\s*#@.*", re.DOTALL)
"""Some adaptors add the whole command line to a message, or the script."""
_UNWRITTEN = re.compile(r"(?:\S*sh: )?(?:line )?\d+: echo: (?:echo: I/O error|write error: .*)")
_NO_ROOM = "the job's script cannot be written into the folder for temporary files there (TMPDIR, else /tmp): is it full?"
_READ_FAILED = re.compile(r"read from process failed '[^']*' : \((.+?)\s*\) \(\(.*?\)\)", re.DOTALL)
"""What ssh said, twice."""


class SagaQueue:
    """A batch system through radical.saga.

    Args:
        service_url: The pilot's, of one of :data:`SCHEMES`.
        request_limit_s: How long radical.saga may take for one thing.
        find_login: Returns the options by which radical.saga's ssh uses a login that is open; None: it logs in itself.
        warm: Start the helper now, so that it has connected when the first job comes.

    Raises:
        MissingExtraError: radical.saga is not installed.
        SubmissionError: The scheme is not one of radical.saga's, or the helper cannot be started.
    """

    def __init__(
        self,
        service_url: str,
        *,
        request_limit_s: float = REQUEST_LIMIT_S,
        find_login: FindLogin | None = None,
        warm: bool = False,
    ) -> None:
        if scheme_of(service_url) not in SCHEMES:
            raise refuse(service_url)
        need_saga(service_url)
        self._url = service_url
        self._system = _system_of(service_url)
        self._target = SagaTarget(service_url, request_limit_s, find_login)
        self._turn = threading.Lock()
        self._ended: dict[str, JobState] = {}
        self._is_silent = False
        if warm:
            self._target.warm_up()

    def submit(self, job: Job) -> str:
        """Hand a job over, and return its number.

        Raises:
            SubmissionError: The batch system does not take it, is not there, or does not answer.
        """
        with self._turn:
            try:
                number = self._target.submit(self._system.request(job, self._target))
            except SubmissionError as error:
                raise _in_words(f"the pilot cannot be submitted to {self._url}", error) from error
        logger.info("saga.submitted url=%s job=%s", self._url, number, extra={"action": "saga.submitted"})
        return number

    def states(self, jobs: Sequence[str]) -> Mapping[str, JobState]:
        """Return how jobs do; they are UNKNOWN when the batch system does not answer."""
        known = {job: self._ended.get(job) or _no_job(job) for job in jobs}
        asked = [job for job, state in known.items() if state is None]
        found = {job: state for job, state in known.items() if state is not None}
        for start in range(0, len(asked), JOBS_AT_ONCE):
            found |= self._ask_states(asked[start : start + JOBS_AT_ONCE])
        self._ended |= {job: state for job, state in found.items() if state.phase is JobPhase.ENDED}
        return found

    def cancel(self, jobs: Sequence[str]) -> None:
        """Remove jobs, waiting or running ones; those that have ended already are no trouble.

        Raises:
            SubmissionError: The batch system does not answer or refuses.
        """
        wanted = [job for job in jobs if job not in self._ended and _no_job(job) is None]
        what = f"jobs {', '.join(wanted)} at {self._url} cannot be canceled"
        failed = self._remove(wanted, what)
        if not failed:
            return
        states = self.states(list(failed))  # some complaints are about jobs that have ended meanwhile
        texts = {text: None for job, text in failed.items() if states[job].phase is not JobPhase.ENDED}
        if texts:
            raise _in_words(what, SubmissionError("\n".join(texts)))

    def close(self) -> None:
        """End the helper; jobs stay. What another thread has asked for ends with an error."""
        self._target.close()

    def _ask_states(self, jobs: Sequence[str]) -> Mapping[str, JobState]:
        with self._turn:
            try:
                states = self._system.states(jobs, self._target)
                self._is_silent = False
                return states
            except SubmissionError as error:
                if not (self._is_silent or self._target.is_closed):  # told once; nobody asks after the close
                    logger.warning(
                        "saga.silent url=%s: %s", self._url, error, extra={"action": "saga.silent"}
                    )
                self._is_silent = True
                return dict.fromkeys(jobs, JobState(JobPhase.UNKNOWN, None, readable(str(error))))

    def _remove(self, jobs: Sequence[str], what: str) -> dict[str, str]:
        failed: dict[str, str] = {}
        with self._turn:
            try:
                for start in range(0, len(jobs), JOBS_AT_ONCE):
                    failed |= self._system.cancel(jobs[start : start + JOBS_AT_ONCE], self._target)
            except SubmissionError as error:
                raise _in_words(what, error) from error
        return failed


def need_saga(service_url: str) -> None:
    """Check that radical.saga is there, without importing it.

    Raises:
        MissingExtraError: It is not.
    """
    if importlib.util.find_spec("radical") is None or importlib.util.find_spec("radical.saga") is None:
        raise MissingExtraError("saga", f"a pilot at {service_url}")


def readable(text: str) -> str:
    """Return what a batch system or radical.saga said, without lines that tell users nothing."""
    text = _READ_FAILED.sub(r"\1", _COMMAND_LINE.sub("", text.replace("\r", "")))
    text = _UNWRITTEN.sub(_NO_ROOM, text)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    return "\n".join(lines) if lines else "it gave no reason"


def _in_words(what: str, error: SubmissionError) -> SubmissionError:
    return SubmissionError(f"{what}: {readable(str(error))}", transient=error.transient)


def _no_job(job: str) -> JobState | None:
    return None if _NUMBER.fullmatch(job) else _NO_JOB


def _system_of(service_url: str) -> System:
    parts = urlsplit(service_url)
    _, make = _SYSTEMS[parts.scheme.partition("+")[0]]
    return make(dict(parse_qsl(parts.query)))
