"""The watch of jobs: whose end is told, how often, and how often the queue is asked."""

from __future__ import annotations

import queue as queues
import threading
from collections.abc import Iterator, Mapping, Sequence

import pytest

from pilot.submission.job_watch import JobWatch, WatchedJob
from pilot.submission.pacing import OFTEN_S, SELDOM_S, pause_s
from pilot.submission.queue import Job, JobPhase, JobState

LIMIT_S = 30.0
QUEUED = JobState(JobPhase.QUEUED, message="Resources")
RUNNING = JobState(JobPhase.RUNNING)
ENDED = JobState(JobPhase.ENDED, 3, "OUT_OF_MEMORY")
SILENT = JobState(JobPhase.UNKNOWN)

Told = queues.SimpleQueue[tuple[str, JobState]]


class ToldQueue:
    """A queue that says what the test has told it, and notes what it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, JobState] = {}
        self.asked: queues.SimpleQueue[Sequence[str]] = queues.SimpleQueue()
        self.error: Exception | None = None

    def submit(self, job: Job) -> str:
        raise NotImplementedError(job)

    def states(self, jobs: Sequence[str]) -> Mapping[str, JobState]:
        self.asked.put(jobs)
        if self.error is not None:
            raise self.error
        return {job: self.known[job] for job in jobs if job in self.known}

    def cancel(self, jobs: Sequence[str]) -> None:
        raise NotImplementedError(jobs)

    def close(self) -> None:
        return


@pytest.fixture
def queue() -> ToldQueue:
    return ToldQueue()


@pytest.fixture
def watch(queue: ToldQueue) -> Iterator[JobWatch]:
    watching = JobWatch(queue, "slurm://c")
    yield watching
    watching.close()


@pytest.fixture
def told() -> Told:
    return queues.SimpleQueue()


def test_an_end_is_told_once_with_what_the_queue_said(watch: JobWatch, queue: ToldQueue, told: Told) -> None:
    queue.known = {"1": ENDED}
    watch.add("1", lambda state: told.put(("1", state)))
    assert told.get(timeout=LIMIT_S) == ("1", ENDED)
    queue.known["2"] = ENDED
    watch.add("2", lambda state: told.put(("2", state)))
    assert told.get(timeout=LIMIT_S) == ("2", ENDED)
    assert told.empty()


@pytest.mark.parametrize("trouble", ["silent", "absent", "broken"])
def test_no_news_are_no_end(watch: JobWatch, queue: ToldQueue, told: Told, trouble: str) -> None:
    queue.known = {"1": SILENT} if trouble == "silent" else {}
    queue.error = RuntimeError("no answer") if trouble == "broken" else None
    watched = watch.add("1", lambda state: told.put(("1", state)))
    for _ in range(2):
        assert queue.asked.get(timeout=LIMIT_S) == ["1"]
    assert told.empty()
    queue.error, queue.known = None, {"1": ENDED}
    assert told.get(timeout=LIMIT_S) == ("1", ENDED)
    assert watched.state is ENDED


def test_all_jobs_are_asked_for_at_once(watch: JobWatch, queue: ToldQueue, told: Told) -> None:
    queue.known = {"1": QUEUED, "2": RUNNING}
    first, second = (watch.add(job, lambda state: told.put(("", state))) for job in ("1", "2"))
    while queue.asked.get(timeout=LIMIT_S) != ["1", "2"]:
        continue
    watch.await_end(first)
    assert queue.asked.get(timeout=LIMIT_S) == ["1", "2"]
    assert (first.state, second.state) == (QUEUED, RUNNING)


def test_a_listener_that_breaks_does_not_end_the_watch(watch: JobWatch, queue: ToldQueue, told: Told) -> None:
    def break_down(_state: JobState) -> None:
        raise RuntimeError("broken listener")

    queue.known = {"1": ENDED, "2": ENDED}
    watch.add("1", break_down)
    watch.add("2", lambda state: told.put(("2", state)))
    assert told.get(timeout=LIMIT_S) == ("2", ENDED)


def test_without_jobs_there_is_no_thread(watch: JobWatch, queue: ToldQueue, told: Told) -> None:
    queue.known = {"1": ENDED}
    watch.add("1", lambda state: told.put(("1", state)))
    told.get(timeout=LIMIT_S)
    for thread in threading.enumerate():
        if thread.name == "pilot-jobs slurm://c":
            thread.join(LIMIT_S)
            assert not thread.is_alive()


def test_a_job_that_is_watched_twice_is_asked_for_once_and_told_twice(
    watch: JobWatch, queue: ToldQueue, told: Told
) -> None:
    queue.known = {"1": RUNNING}
    for name in ("first", "second"):
        watch.add("1", lambda state, name=name: told.put((name, state)))  # type: ignore[misc]
    queue.asked.get(timeout=LIMIT_S)
    assert queue.asked.get(timeout=LIMIT_S) == ["1"]
    queue.known = {"1": ENDED}
    assert {told.get(timeout=LIMIT_S) for _ in range(2)} == {("first", ENDED), ("second", ENDED)}


def test_a_job_is_looked_at_less_and_less_often_until_somebody_waits_for_it() -> None:
    pauses = [pause_s(unchanged_s, is_awaited=False) for unchanged_s in (0.0, 20.0, 60.0, 1e6)]
    assert pauses == [OFTEN_S, 2.0, 6.0, SELDOM_S]
    assert pause_s(1e6, is_awaited=True) == OFTEN_S


def test_a_batch_system_that_is_silent_is_asked_less_and_less_often_whoever_waits() -> None:
    job = WatchedJob("1", lambda _state: None, QUEUED, is_awaited=True, since_s=0.0, heard_s=0.0)
    pauses = []
    for now_s, state in [
        (1000.0, QUEUED),
        (1001.0, SILENT),
        (1060.0, SILENT),
        (9999.0, SILENT),
        (10000.0, QUEUED),
    ]:
        job.hear(state, now_s)
        pauses.append(job.due_s - now_s)
    assert pauses == [OFTEN_S, OFTEN_S, 6.0, SELDOM_S, OFTEN_S]
    assert job.state is QUEUED
