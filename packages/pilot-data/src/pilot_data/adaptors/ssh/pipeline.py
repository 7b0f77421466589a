"""Runs many tasks over one channel: each awaits replies, and whoever's has come goes on.

A task is a coroutine that awaits `Reply` objects and nothing else. There is one thread: it blocks where answers come
from, and only when no task can go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from .replies import Reply
from .sftp import Sftp
from .sftp_channel import WINDOW

T = TypeVar("T")
Task = Coroutine[Reply, None, T]

AT_ONCE = 256
"""Tasks that run side by side at most: enough for a thousand small files a second at a round trip of 40 ms."""


@dataclass(frozen=True)
class Job(Generic[T]):
    """A task that is not begun yet.

    Attributes:
        task: Its coroutine.
        weight: Bytes that it moves; tasks are begun while those that run move less than a window together.
    """

    task: Task[T]
    weight: int = 0


class Answers(Protocol):
    """Another source of replies than the SFTP server."""

    @property
    def open_requests(self) -> int:
        """How many answers are still to come."""
        ...

    def flush(self) -> None:
        """Send what is to be asked."""
        ...

    def receive(self, *, wait: bool) -> list[Reply]:
        """Return the answers that have come; with ``wait``, at least one."""
        ...


class Pipeline(Generic[T]):
    """Runs tasks, a bounded number at once.

    Args:
        sftp: Where their requests go.
        other: Another source of replies that they await.
    """

    def __init__(self, sftp: Sftp, other: Answers) -> None:
        self._sftp = sftp
        self._at_once = min(AT_ONCE, sftp.limits.handles)
        self._other = other
        self._running: dict[Task[T], int] = {}
        self._weight = 0
        self._results: deque[T] = deque()

    def run(self, jobs: Iterable[Job[T]]) -> Iterator[T]:
        """Yield what tasks return, as they end.

        An error that a task raises is raised here, and ends the others.
        """
        waiting = iter(jobs)
        upcoming = next(waiting, None)
        try:
            while upcoming is not None or self._running:
                while upcoming is not None and self._has_room(upcoming):
                    self._begin(upcoming)
                    upcoming = next(waiting, None)
                yield from self._taken()
                if self._running:
                    self._advance()
            yield from self._taken()
        finally:
            if upcoming is not None:
                upcoming.task.close()
            for task in self._running:
                task.close()
            self._running.clear()

    def _has_room(self, job: Job[T]) -> bool:
        if not self._running:
            return True
        return len(self._running) < self._at_once and self._weight + min(job.weight, WINDOW) <= WINDOW

    def _begin(self, job: Job[T]) -> None:
        task = job.task
        weight = min(job.weight, WINDOW)
        self._running[task] = weight
        self._weight += weight
        self._resume(task)

    def _advance(self) -> None:
        """Wait for replies, and let the tasks that awaited them go on."""
        self._sftp.flush()
        self._other.flush()
        replies = self._sftp.receive() if self._sftp.open_requests else []
        if self._other.open_requests:
            replies += self._other.receive(wait=not replies)
        for reply in replies:
            if reply.waiter is not None:
                reply.waiter()

    def _resume(self, task: Task[T]) -> None:
        try:
            reply = task.send(None)
        except StopIteration as end:
            self._end(task)
            self._results.append(end.value)
        except BaseException:
            self._end(task)
            raise
        else:
            # Whoever receives it: another pipeline may run on the channel while this one's results are looked at.
            reply.waiter = partial(self._resume, task)

    def _end(self, task: Task[T]) -> None:
        self._weight -= self._running.pop(task)

    def _taken(self) -> Iterator[T]:
        while self._results:
            yield self._results.popleft()
