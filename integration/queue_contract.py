"""What every queue through radical.saga promises, as tests: a class to derive from, for each batch system.

Its module gives the fixture ``site``. Tests get ``queue``, which stays open from test to test as those of a session do, or
``queues``, which makes a new one at each call, closed in the end.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pilot.submission.queue import Job, JobPhase, JobState, Queue
from pilot.submission.saga.queue import SagaQueue
from pilot_protocol.errors import SubmissionError
from saga_trials import saga_queues

LIMIT_S = 90.0
ODD_NAME = "odd 'name' of \"$HOME\"; x & (y) #1"
UNKNOWN_JOB = "999999"

Queues = Callable[[], SagaQueue]


@dataclass(frozen=True)
class Site:
    """A batch system in the hands of tests.

    Attributes:
        url: Leads there.
        environment: By which its commands find it.
        whole: Fields of a job that takes all there is.
        silent: Lets its commands get no answer for the length of a block.
        complaint: Pattern of what they say then.
        reasons: What is said of a job that waits for room.
    """

    url: str
    environment: Mapping[str, str]
    whole: Mapping[str, Any]
    silent: Callable[[], AbstractContextManager[None]]
    complaint: str
    reasons: Collection[str] = ("",)


@dataclass(frozen=True)
class Trial:
    """A job with a script of the test.

    Attributes:
        job: What the queue gets.
        folder: Where it lies.
    """

    job: Job
    folder: Path

    def output(self) -> str:
        """Return what the script has printed so far."""
        path = Path(self.job.output)
        return path.read_text() if path.exists() else ""

    def release(self) -> None:
        """Let the script that waits for it go on."""
        (self.folder / "go").touch()


def trial(folder: Path, body: str, **fields: Any) -> Trial:
    """Write a script into a folder and return the job for it."""
    folder.mkdir(parents=True)
    script = folder / "job.sh"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o700)
    job = Job("pilot-test", str(script), str(folder), str(folder / "out"), str(folder / "err"), 2.0, cores=1)
    return Trial(replace(job, **fields), folder)


def waiting(folder: Path, **fields: Any) -> Trial:
    """Return a job that runs until it is released, and ends then with exit code 3."""
    return trial(folder, "echo here\nwhile ! [ -e go ]; do sleep 0.1; done\nexit 3", **fields)


@contextmanager
def submitted(queue: Queue, job: Job) -> Iterator[str]:
    """Submit a job for the length of a block; it is canceled in the end."""
    number = queue.submit(job)
    try:
        yield number
    finally:
        queue.cancel([number])


def await_phase(queue: Queue, job: str, wanted: Collection[JobPhase]) -> JobState:
    """Ask until a job is as far as wanted, and return its state; batch systems call nobody back."""
    end = time.monotonic() + LIMIT_S
    while (state := queue.states([job])[job]).phase not in wanted:
        assert time.monotonic() < end, f"job {job} is {state}, not {wanted}"
        time.sleep(0.2)
    return state


def await_output(run: Trial, text: str) -> None:
    """Read the output of a script until it has printed a text."""
    end = time.monotonic() + LIMIT_S
    while text not in run.output():
        assert time.monotonic() < end, f"the script printed {run.output()!r}"
        time.sleep(0.1)


def check_refusal(queue: Queue, folder: Path, wish: Mapping[str, Any], words: str) -> None:
    """Assert that a job with such fields is not taken, in words that match a pattern."""
    run = trial(folder, "true")
    with pytest.raises(SubmissionError, match=words):
        queue.submit(replace(run.job, **wish))


@pytest.mark.timeout(240)
class QueueContract:
    """What every queue promises."""

    @pytest.fixture(scope="class")
    @classmethod
    def queue(cls, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
        """A queue that is open for all tests."""
        folder = tmp_path_factory.mktemp("queue") / "temp"
        with saga_queues(site.url, site.environment, folder) as make:
            yield make()

    @pytest.fixture
    def queues(self, site: Site, tmp_path: Path) -> Iterator[Queues]:
        """Makes queues."""
        with saga_queues(site.url, site.environment, tmp_path / "temp") as make:
            yield make

    def test_a_job_runs_in_its_folder_and_its_exit_code_is_told(self, queue: Queue, tmp_path: Path) -> None:
        run = waiting(tmp_path / "plain")
        with submitted(queue, run.job) as number:
            before = await_phase(queue, number, {JobPhase.QUEUED, JobPhase.RUNNING})
            assert before.exit_code is None
            await_phase(queue, number, {JobPhase.RUNNING})
            run.release()
            assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 3
        assert run.output() == "here\n"

    def test_a_folder_may_have_any_name(self, queue: Queue, tmp_path: Path) -> None:
        run = trial(tmp_path / ODD_NAME, "pwd; echo wrong >&2")
        with submitted(queue, run.job) as number:
            assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 0
        assert run.output() == f"{run.folder}\n"
        assert Path(run.job.error).read_text() == "wrong\n"

    def test_nothing_of_a_job_is_left_in_home_or_its_folder(self, queue: Queue, tmp_path: Path) -> None:
        before = set(Path.home().iterdir())
        run = trial(tmp_path / "box", "true")
        with submitted(queue, run.job) as number:
            await_phase(queue, number, {JobPhase.ENDED})
        of_the_system = {number, f"{number}.cobaltlog"}
        assert {path.name for path in run.folder.iterdir()} - of_the_system == {"job.sh", "out", "err"}
        assert set(Path.home().iterdir()) == before

    def test_a_canceled_job_ends(self, queue: Queue, tmp_path: Path) -> None:
        run = waiting(tmp_path / "box")
        with submitted(queue, run.job) as number:
            await_phase(queue, number, {JobPhase.RUNNING})
            queue.cancel([number])
            assert await_phase(queue, number, {JobPhase.ENDED}).exit_code != 3

    def test_a_waiting_job_can_be_canceled(self, queue: Queue, site: Site, tmp_path: Path) -> None:
        with submitted(queue, waiting(tmp_path / "holder", **site.whole).job) as first:
            await_phase(queue, first, {JobPhase.RUNNING})
            with submitted(queue, waiting(tmp_path / "second").job) as second:
                state = await_phase(queue, second, {JobPhase.QUEUED})
                assert state.message in site.reasons
                queue.cancel([second])
                await_phase(queue, second, {JobPhase.ENDED})

    def test_a_killed_job_has_ended(self, queue: Queue, tmp_path: Path) -> None:
        with submitted(queue, trial(tmp_path / "box", "kill -9 $$").job) as number:
            state = await_phase(queue, number, {JobPhase.ENDED})
            assert state.exit_code in {None, -signal.SIGKILL, 128 + signal.SIGKILL}

    def test_silence_is_no_news(self, queue: Queue, site: Site, tmp_path: Path) -> None:
        run = waiting(tmp_path / "box")
        with submitted(queue, run.job) as number:
            await_phase(queue, number, {JobPhase.RUNNING})
            with site.silent():
                state = queue.states([number])[number]
                check_refusal(queue, tmp_path / "other", {}, site.complaint)
            assert state.phase is JobPhase.UNKNOWN
            assert re.search(site.complaint, state.message)
            await_phase(queue, number, {JobPhase.RUNNING})
            run.release()
            assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 3

    def test_many_jobs_are_asked_for_and_canceled_at_once(self, queue: Queue, tmp_path: Path) -> None:
        numbers = [queue.submit(waiting(tmp_path / str(index)).job) for index in range(4)]
        try:
            for number in numbers:
                await_phase(queue, number, {JobPhase.RUNNING})
            assert {state.phase for state in queue.states(numbers).values()} == {JobPhase.RUNNING}
        finally:
            queue.cancel(numbers)
        assert list(queue.states(numbers)) == numbers
        for number in numbers:
            await_phase(queue, number, {JobPhase.ENDED})

    def test_the_agent_gets_a_signal_before_the_end(self, queue: Queue, tmp_path: Path) -> None:
        body = "trap 'sleep 1; echo asked; exit 5' TERM USR1 USR2\necho here\nwhile :; do sleep 0.1; done"
        run = trial(tmp_path / "box", body)
        with submitted(queue, run.job) as number:
            await_output(run, "here")
            queue.cancel([number])
            await_output(run, "asked")
            await_phase(queue, number, {JobPhase.ENDED})

    def test_ended_and_unknown_jobs_are_canceled_without_trouble(
        self, queue: Queue, queues: Queues, tmp_path: Path
    ) -> None:
        run = trial(tmp_path / "box", "true")
        with submitted(queue, run.job) as number:
            await_phase(queue, number, {JobPhase.ENDED})
            queue.cancel([number, UNKNOWN_JOB, "no job's id; true"])
        queues().cancel([number])

    def test_a_job_that_nobody_knows_has_ended(self, queue: Queue) -> None:
        state = await_phase(queue, UNKNOWN_JOB, {JobPhase.ENDED})
        assert state.exit_code is None
        assert queue.states(["no job's id; true"])["no job's id; true"].phase is JobPhase.ENDED

    def test_another_queue_finds_the_job(self, queue: Queue, queues: Queues, tmp_path: Path) -> None:
        first, run = queues(), waiting(tmp_path / "box")
        number = first.submit(run.job)
        first.close()
        try:
            await_phase(queue, number, {JobPhase.RUNNING})
            run.release()
            assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 3
        finally:
            queue.cancel([number])

    def test_a_queue_that_is_not_there_is_told_in_the_batch_systems_words(
        self, queue: Queue, tmp_path: Path
    ) -> None:
        run = trial(tmp_path / "box", "true", queue="nosuch")
        with pytest.raises(SubmissionError, match=r"(?i)queue|partition|class") as refusal:
            queue.submit(run.job)
        assert "Traceback" not in str(refusal.value)
        assert len(str(refusal.value)) < 500

    @pytest.mark.parametrize("name", ["queue", "project"])
    def test_values_cannot_become_commands(self, queue: Queue, tmp_path: Path, name: str) -> None:
        run = trial(tmp_path / "box", "true", **{name: "x; touch /tmp/pwned"})
        with pytest.raises(SubmissionError, match=name):
            queue.submit(run.job)

    def test_nothing_is_done_after_the_close(self, queues: Queues, tmp_path: Path) -> None:
        queue = queues()
        queue.close()
        queue.close()
        with pytest.raises(SubmissionError):
            queue.submit(trial(tmp_path / "box", "true").job)
        assert queue.states(["1"])["1"].phase is JobPhase.UNKNOWN
