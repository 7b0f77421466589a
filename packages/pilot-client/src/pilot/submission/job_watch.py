"""Watches the jobs of one queue: a thread that asks for all of them at once, as often as `pacing` says, while there are any.

The invariant: a job's end is told once, and a job that is not heard of is never taken for ended.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .pacing import pause_s
from .queue import JobPhase, JobState, Queue

logger = logging.getLogger(__name__)

Tell = Callable[[JobState], None]


@dataclass(eq=False)
class WatchedJob:
    """A job and what is known of it.

    Attributes:
        job: Its id.
        tell: Called once with its last state, from the watch's thread.
        state: What was heard last.
        is_awaited: Whether somebody waits for its end.
    """

    job: str
    tell: Tell
    state: JobState = field(default_factory=lambda: JobState(JobPhase.QUEUED))
    is_awaited: bool = False
    since_s: float = field(default_factory=time.monotonic)
    heard_s: float = field(default_factory=time.monotonic)
    due_s: float = field(default_factory=time.monotonic)

    def hear(self, state: JobState, now_s: float) -> None:
        """Take news; no news leaves the state as it is."""
        if state.phase is JobPhase.UNKNOWN:
            self.due_s = now_s + pause_s(now_s - self.heard_s, is_awaited=False)
            return
        if state.phase is not self.state.phase:
            self.since_s = now_s
        self.state, self.heard_s = state, now_s
        self.due_s = now_s + pause_s(now_s - self.since_s, is_awaited=self.is_awaited)


class JobWatch:
    """The watch of one queue.

    Args:
        queue: Asked from the watch's thread only.
        name: Of the queue, for the thread's name and messages.
    """

    def __init__(self, queue: Queue, name: str) -> None:
        self._queue = queue
        self._name = name
        self._changed = threading.Condition()
        self._jobs: list[WatchedJob] = []
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, job: str, tell: Tell) -> WatchedJob:
        """Begin to watch a job, also one that is watched already: each listener is told."""
        watched = WatchedJob(job, tell)
        with self._changed:
            self._jobs.append(watched)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"pilot-jobs {self._name}", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()
        return watched

    def await_end(self, watched: WatchedJob) -> None:
        """Look at a job often from now on: somebody waits for its end."""
        with self._changed:
            watched.is_awaited = True
            watched.due_s = time.monotonic()
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask no more; a question that is under way goes on. The jobs stay."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop watching; returns when the thread has ended. The jobs stay."""
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while (due := self._wait_for_due()) is not None:
            self._look(due)

    def _wait_for_due(self) -> list[WatchedJob] | None:
        """Return the jobs to be looked at, when the time has come; None when there is nothing to watch any more."""
        with self._changed:
            while self._jobs and not self._is_closed:
                rest_s = min(job.due_s for job in self._jobs) - time.monotonic()
                if rest_s <= 0:
                    return list(self._jobs)  # one question serves all, also those whose time has not come
                self._changed.wait(rest_s)
            self._thread = None
            return None

    def _look(self, watched: list[WatchedJob]) -> None:
        states = self._ask(list(dict.fromkeys(job.job for job in watched)))
        now_s = time.monotonic()
        for job in watched:
            job.hear(states.get(job.job, JobState(JobPhase.UNKNOWN)), now_s)
            if job.state.phase is JobPhase.ENDED:
                with self._changed:
                    self._jobs.remove(job)
                self._tell(job)

    def _ask(self, jobs: list[str]) -> Mapping[str, JobState]:
        try:
            return self._queue.states(jobs)
        except Exception:  # the watch must live: without it nobody would hear of a job's end
            logger.exception("jobs.not_asked queue=%s", self._name, extra={"action": "jobs.not_asked"})
            return {}

    def _tell(self, job: WatchedJob) -> None:
        try:
            job.tell(job.state)
        except Exception:  # likewise
            logger.exception("job.end_not_told job=%s", job.job, extra={"action": "job.end_not_told"})
