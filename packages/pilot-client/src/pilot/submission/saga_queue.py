"""Batch systems through radical.saga, which runs in a helper process and never in the application's.

The invariant: at most one helper, started when first needed and again when it was lost; a job that has ended stays so.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pilot_protocol.errors import MissingExtraError, SubmissionError

from .base import refuse, scheme_of
from .queue import Job, JobPhase, JobState
from .saga_pbspro import PbsProSystem
from .saga_process import HelperLostError, SagaProcess
from .saga_sge import SgeSystem
from .saga_slurm import SlurmSystem
from .saga_systems import SagaSystem, ShellAnswer, System

logger = logging.getLogger(__name__)

REQUEST_LIMIT_S = 60.0
JOBS_AT_ONCE = 100
"""Jobs in one command line: a terminal takes 4096 characters."""

_EVERY = ["", "+ssh", "+gsissh"]
_FAR = ["+ssh", "+gsissh"]
_COMMON = ["memory_per_node_mb", "spmd_variation"]
_SYSTEMS: dict[str, tuple[list[str], Callable[[Mapping[str, str]], System]]] = {
    "slurm": (_EVERY, lambda _query: SlurmSystem()),
    "pbspro": (_EVERY, lambda _query: PbsProSystem()),
    "sge": (_EVERY, SgeSystem),
    "loadl": (
        _EVERY,
        lambda _query: SagaSystem("LoadLeveler", [*_COMMON, "gpus_per_node"], needs_queue=True),
    ),
    "cobalt": (_EVERY, lambda _query: SagaSystem("Cobalt", [*_COMMON, "candidate_hosts", "gpus_per_node"])),
    "lsf": (_EVERY, lambda _query: SagaSystem("LSF", [*_COMMON, "candidate_hosts"])),
    "condor": (_FAR, lambda _query: SagaSystem("HTCondor", [*_COMMON, "gpus_per_node"], takes_shell=False)),
}
SCHEMES = frozenset(name + way for name, (ways, _) in _SYSTEMS.items() for way in ways)
"""Schemes of service URLs that radical.saga can be asked for."""

_NUMBER = re.compile(r"[A-Za-z0-9_.-]+")
_NOISE = re.compile(r"^\s*(Traceback \(most recent call last\):|File \".*|\^+|Exiting\.)\s*$")


class SagaQueue:
    """A batch system through radical.saga.

    Args:
        service_url: The pilot's, of one of :data:`SCHEMES`.
        request_limit_s: How long radical.saga may take for one thing.
        warm: Start the helper now, so that it has connected when the first job comes.

    Raises:
        MissingExtraError: radical.saga is not installed.
        SubmissionError: The scheme is not one of radical.saga's, or the helper cannot be started.
    """

    def __init__(
        self, service_url: str, *, request_limit_s: float = REQUEST_LIMIT_S, warm: bool = False
    ) -> None:
        if scheme_of(service_url) not in SCHEMES:
            raise refuse(service_url)
        need_saga(service_url)
        self._url = service_url
        self._limit_s = request_limit_s
        self._system = _system_of(service_url)
        self._ended: dict[str, JobState] = {}
        self._turn = threading.Lock()
        self._exchange = threading.Lock()
        self._process: SagaProcess | None = None
        self._closed = False
        if warm:
            self._helper()

    def submit(self, job: Job) -> str:
        """Hand a job over, and return its number.

        Raises:
            SubmissionError: The batch system does not take it, is not there, or does not answer.
        """
        with self._turn:
            try:
                request = self._system.request(job, self._shell)
                number: str = self._ask("submit", request.fields)
            except SubmissionError as error:
                raise self._in_words(f"the pilot cannot be submitted to {self._url}", error) from error
        logger.info("saga.submitted url=%s job=%s", self._url, number, extra={"action": "saga.submitted"})
        return number

    def states(self, jobs: Sequence[str]) -> Mapping[str, JobState]:
        """Return how jobs do; they are UNKNOWN when the batch system does not answer."""
        known = {job: self._ended.get(job) or JobState(JobPhase.UNKNOWN) for job in jobs}
        asked = [job for job, state in known.items() if state.phase is not JobPhase.ENDED]
        strange = [job for job in asked if not _NUMBER.fullmatch(job)]
        known |= dict.fromkeys(strange, JobState(JobPhase.ENDED, None, "this is no job's id"))
        asked = [job for job in asked if job not in strange]
        for start in range(0, len(asked), JOBS_AT_ONCE):
            known |= self._ask_states(asked[start : start + JOBS_AT_ONCE])
        self._ended |= {job: state for job, state in known.items() if state.phase is JobPhase.ENDED}
        return known

    def cancel(self, jobs: Sequence[str]) -> None:
        """Remove jobs, waiting or running ones; those that have ended already are no trouble.

        Raises:
            SubmissionError: The batch system does not answer or refuses.
        """
        wanted = [job for job in jobs if job not in self._ended and _NUMBER.fullmatch(job)]
        with self._turn:
            try:
                failed: dict[str, str] = self._ask("cancel", {"jobs": wanted}) if wanted else {}
            except SubmissionError as error:
                what = f"jobs {', '.join(wanted)} at {self._url} cannot be canceled"
                raise self._in_words(what, error) from error
        states = self.states(list(failed)) if failed else {}
        for job, text in failed.items():
            if states[job].phase is not JobPhase.ENDED:
                what = f"job {job} at {self._url} cannot be canceled"
                raise self._in_words(what, SubmissionError(text))

    def close(self) -> None:
        """End the helper; jobs stay. A request that another thread has made ends with an error."""
        with self._exchange:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.end()

    def _ask_states(self, jobs: list[str]) -> Mapping[str, JobState]:
        with self._turn:
            try:
                return self._system.states(jobs, self._shell, self._ask_saga)
            except SubmissionError as error:
                logger.warning("saga.silent url=%s: %s", self._url, error, extra={"action": "saga.silent"})
                return dict.fromkeys(jobs, JobState(JobPhase.UNKNOWN, None, readable(str(error))))

    def _shell(self, command: str) -> ShellAnswer:
        answer = self._ask("shell", {"command": command})
        return ShellAnswer(int(answer["code"]), str(answer["text"]))

    def _ask_saga(self, jobs: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        told: Mapping[str, Mapping[str, Any]] = self._ask("states", {"jobs": list(jobs)})
        return told

    def _ask(self, op: str, fields: dict[str, Any]) -> Any:
        return self._helper().request(op, fields, self._limit_s)

    def _helper(self) -> SagaProcess:
        with self._exchange:
            if self._closed:
                raise HelperLostError(f"the queue at {self._url} is closed")
            if self._process is None or not self._process.works:
                if self._process is not None:
                    self._process.end()
                self._process = SagaProcess(self._url)
            return self._process

    def _in_words(self, what: str, error: SubmissionError) -> SubmissionError:
        return SubmissionError(f"{what}: {readable(str(error))}", transient=error.transient)


def need_saga(service_url: str) -> None:
    """Check that radical.saga is there, without importing it.

    Raises:
        MissingExtraError: It is not.
    """
    if importlib.util.find_spec("radical") is None or importlib.util.find_spec("radical.saga") is None:
        raise MissingExtraError("saga", f"a pilot at {service_url}")


def readable(text: str) -> str:
    """Return what a batch system or radical.saga said, without lines that tell users nothing."""
    text = re.sub(
        r"\[\s*SCRIPTFILE=.*", "", text.replace("\r", ""), flags=re.DOTALL
    )  # SGE: the whole command line
    text = re.sub(r":\s*SCRIPTFILE=.*", "", text, flags=re.DOTALL)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    return "\n".join(lines) if lines else "it gave no reason"


def _system_of(service_url: str) -> System:
    parts = urlsplit(service_url)
    _, make = _SYSTEMS[parts.scheme.partition("+")[0]]
    return make(dict(parse_qsl(parts.query)))
