"""Grid Engine through radical.saga: parallel environments are chosen, ``qstat`` and ``qacct`` say how jobs do.

radical.saga takes a job that was killed for running for ever, and every other end for a success: it believes what its
own script notes. So Grid Engine is asked, and the script becomes the agent.

The invariant: pure, but for the target and the clock it is given.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pilot.submission.queue import Job, JobPhase, JobState
from pilot_protocol.errors import SubmissionError

from .descriptions import NOWHERE, SagaRequest, common_attributes, is_plain, plain_value, refuse
from .systems import Target, removal_failures, whole_number

QSTAT = "qstat | awk 'NR > 2 {print $1, $5}'"
QACCT = "timeout 20 qacct -j "
ACCOUNTING_DELAY_S = 20.0
"""Grid Engine writes the record of a job up to 15 s after it has left the queue, unless told otherwise."""

_ONE_HOST, _FILL_UP, _ROUND_ROBIN = "$pe_slots", "$fill_up", "$round_robin"
_PREFERENCE = (_ONE_HOST, _FILL_UP, _ROUND_ROBIN)


@dataclass(frozen=True)
class ParallelEnvironment:
    """A parallel environment: how it spreads slots, and the slots on each host of the queues that offer it."""

    name: str
    rule: str
    slots: Mapping[str, int]

    def holds(self, cores: int) -> bool:
        """Return whether so many cores can ever be had here."""
        if self.rule == _ONE_HOST:
            return max(self.slots.values(), default=0) >= cores
        if self.rule.isdigit() and cores % int(self.rule):
            return False
        return sum(self.slots.values()) >= cores

    def __str__(self) -> str:
        return f"{self.name} ({self.rule}, {sum(self.slots.values())} slots)"


@dataclass(frozen=True)
class Offers:
    """What Grid Engine offers a job: its queues, those of them that take it, parallel environments."""

    queues: Sequence[str]
    fitting: Sequence[str]
    environments: Sequence[ParallelEnvironment]


class SgeSystem:
    """Grid Engine.

    Args:
        query: Of the service URL; ``memreqs`` there says how memory is asked for.
        clock: Seconds that only grow.
    """

    def __init__(self, query: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._asks_memory = "memreqs" in query
        self._clock = clock
        self._left: dict[str, float] = {}
        self._removed: set[str] = set()

    def request(self, job: Job, target: Target, /) -> SagaRequest:
        """Return what radical.saga is told of a job.

        Raises:
            SubmissionError: Grid Engine does not answer, or can never run the job.
        """
        if job.memory_per_node_mb and not self._asks_memory:
            raise SubmissionError(
                f"memory_per_node_mb is {job.memory_per_node_mb}; Grid Engine has no common name for memory: add the one of "
                "the site to the service_url, for example sge://host/?memreqs=h_vmem"
            )
        queue = plain_value("queue", job.queue) if job.queue else ""
        answer = target.run(survey(queue, job.whole_minutes, environments=_is_parallel(job)))
        if answer.code != 0:
            raise SubmissionError(f"Grid Engine does not say what it offers: {answer.text.strip()}")
        return describe(job, offers(answer.text))

    def states(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, JobState]:
        """Return how jobs do; what has left the queue is looked for in the accounting."""
        answer = target.run(QSTAT)
        if answer.code != 0 or "error" in answer.text:
            return {job: JobState(JobPhase.UNKNOWN, None, answer.text.strip()) for job in jobs}
        listed = queue_states(answer.text)
        return {job: listed.get(job) or self._after_queue(job, target) for job in jobs}

    def cancel(self, jobs: Sequence[str], target: Target, /) -> Mapping[str, str]:
        """Remove jobs; return what went wrong, by job."""
        failures = removal_failures(jobs, target.run("qdel " + " ".join(jobs)), harmless="does not exist")
        self._removed.update(job for job in jobs if job not in failures)
        return failures

    def _after_queue(self, job: str, target: Target) -> JobState:
        record = target.run(QACCT + shlex.quote(job))
        ended = accounting_state(record.text) if record.code == 0 else None
        if ended is None and job in self._removed:  # one that never ran gets no record
            return JobState(JobPhase.ENDED, None, "it was removed from the queue")
        left = self._left.setdefault(job, self._clock())
        if ended is None and self._clock() - left < ACCOUNTING_DELAY_S:
            return JobState(JobPhase.UNKNOWN, None, "it has left the queue and is not in the accounting yet")
        self._left.pop(job, None)
        return ended or JobState(JobPhase.ENDED, None, "Grid Engine does not know the job any more")


def survey(queue: str, minutes: int, *, environments: bool) -> str:
    """Return the command that prints what Grid Engine offers: queues, and those that take such a job.

    Each of Grid Engine's commands takes some 70 ms, so what each parallel environment offers is asked at the same time.

    Args:
        queue: The only one that will do; empty: any.
        minutes: How long the job runs.
        environments: Whether parallel environments and the slots of queues are printed, too.
    """
    only = f" -q {shlex.quote(queue)}" if queue else ""
    limit = f" -l h_rt={minutes // 60}:{minutes % 60}:0"
    more = (
        "; qstat -f | grep @ | awk '{print \"slots\", $1, $3}';"
        " for pe in $(qconf -spl); do"
        " echo pe $pe $(qconf -sp $pe | awk '$1 == \"allocation_rule\" {print $2}')"
        f" $(qselect -pe $pe{only}{limit} 2>/dev/null) & done; wait"
    )
    return (
        "(queues=$(qconf -sql) || { echo \"$queues\"; exit 1; }; printf 'queue %s\\n' $queues;"
        f" qselect{only}{limit} 2>/dev/null | sed 's/^/fits /'{more if environments else ''})"
    )


def offers(text: str) -> Offers:
    """Read what :func:`survey` printed."""
    slots: dict[str, int] = {}
    queues: list[str] = []
    fitting: list[str] = []
    environments: list[tuple[str, str, list[str]]] = []
    for words in (line.split() for line in text.splitlines()):
        match words:
            case ["slots", instance, counts] if (total := counts.rpartition("/")[2]).isdigit():
                slots[instance] = int(total)
            case ["queue", name]:
                queues.append(name)
            case ["fits", instance]:
                fitting.append(instance)
            case ["pe", name, rule, *instances]:
                environments.append((name, rule, instances))
    return Offers(
        queues,
        fitting,
        [
            ParallelEnvironment(name, rule, _by_host(found, slots))
            for name, rule, found in sorted(environments)
        ],
    )


def _by_host(instances: Sequence[str], slots: Mapping[str, int]) -> dict[str, int]:
    """Return the slots of each host; queues of one host share its cores."""
    hosts: dict[str, int] = {}
    for instance in instances:
        host = instance.rpartition("@")[2]
        hosts[host] = max(hosts.get(host, 0), slots.get(instance, 0))
    return hosts


def describe(job: Job, offered: Offers) -> SagaRequest:
    """Return what radical.saga is told of a job.

    Raises:
        SubmissionError: No queue takes its walltime, or no parallel environment its cores.
    """
    refuse(job, "Grid Engine", ["gpus_per_node"], "give a queue whose hosts have them")
    attributes = common_attributes(job)
    # Of a queue that is none, qsub says so.
    if not offered.fitting and (not job.queue or job.queue in offered.queues):
        which, limit = (f"queue {job.queue}", "no") if job.queue else ("no queue", "a")
        raise SubmissionError(
            f"{which} of Grid Engine takes {limit} walltime of {job.whole_minutes} min; ask for less"
        )
    attributes["total_cpu_count"] = _slots(job)
    if job.candidate_hosts:
        attributes["candidate_hosts"] = [plain_value("candidate_hosts", host) for host in job.candidate_hosts]
    if job.memory_per_node_mb:
        attributes["total_physical_memory"] = job.memory_per_node_mb
    # Its script notes there how it does. Where the path would need quotes the notes fail, and nobody reads them.
    scratch = job.folder if is_plain(job) else NOWHERE
    environment = _environment(job, offered.environments)
    if not environment:
        return SagaRequest(attributes, scratch=scratch)
    attributes["spmd_variation"] = environment
    return SagaRequest(attributes, allowed={"spmd_variation": [environment]}, scratch=scratch)


def _slots(job: Job) -> int:
    cores = job.cores or (job.nodes or 1) * (job.processes_per_node or 0)
    if not cores:
        raise SubmissionError("Grid Engine has slots, not nodes; give number_of_processes")
    return cores


def _is_parallel(job: Job) -> bool:
    """Return whether a job needs a parallel environment."""
    return _slots(job) > 1 or bool(job.spmd_variation)


def _environment(job: Job, known: Sequence[ParallelEnvironment]) -> str:
    wanted, cores = job.spmd_variation, _slots(job)
    if wanted:
        if wanted not in [each.name for each in known]:
            raise SubmissionError(
                f"spmd_variation is {wanted!r}, which is no parallel environment here; there are: {_list(known)}"
            )
        return wanted
    if not _is_parallel(job):
        return ""
    fitting = [each for each in known if each.holds(cores)]
    for rule in _PREFERENCE:
        for each in fitting:
            if each.rule == rule:
                return each.name
    if fitting:
        return fitting[0].name
    raise SubmissionError(
        f"no parallel environment of Grid Engine has {cores} slots for {job.whole_minutes} min; there are: {_list(known)}"
    )


def _list(known: Sequence[ParallelEnvironment]) -> str:
    return ", ".join(map(str, known)) or "none"


def queue_states(text: str) -> dict[str, JobState]:
    """Read job ids and states as ``qstat`` prints them."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(\d+) ([A-Za-z]+)", line.strip())
        if match:
            found[match[1]] = _queued(match[2])
    return found


def _queued(letters: str) -> JobState:
    if "E" in letters and "q" in letters:
        return JobState(JobPhase.QUEUED, None, "Eqw: it could not be started; qstat -j says why")
    if "q" in letters or letters.startswith("h"):
        return JobState(JobPhase.QUEUED)
    return JobState(JobPhase.RUNNING)


def accounting_state(text: str) -> JobState | None:
    """Read what ``qacct -j`` printed of a job; None when there is no record."""
    facts = dict(line.split(None, 1) for line in text.splitlines() if len(line.split(None, 1)) == 2)
    if "exit_status" not in facts:
        return None
    status = whole_number(facts["exit_status"].split()[0])
    failed = facts.get("failed", "0").strip()
    code = 128 - status if status is not None and status > 128 and failed.startswith("100") else status
    return JobState(JobPhase.ENDED, code, "" if failed == "0" else f"failed {failed}")
