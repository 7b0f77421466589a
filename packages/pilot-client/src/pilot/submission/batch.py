"""Pilots at a resource with a queue: files are staged at its place, the script goes into the queue, the job is watched.

The invariant: what was staged for a pilot that the queue did not take, or whose job has ended, holds no secret any more.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable

from pilot.agent_bundle import Bundle
from pilot.coordination_url import CoordinationUrl
from pilot_protocol.errors import SubmissionError
from pilot_protocol.specs import PilotSpec

from .base import AgentEnd, Notify, PilotOrder
from .job_watch import WatchedJob
from .queue import Job, JobState
from .resource import Resource
from .staging import Staged, read_tail, stage, unstage

logger = logging.getLogger(__name__)

LOG_TAIL_BYTES = 4096


class BatchPlaceholder:
    """A job in a queue.

    Args:
        resource: Where it is.
        job: Its id there.
        staged: What lies at the place for it.
        cores: That were asked for.
    """

    def __init__(self, resource: Resource, job: str, staged: Staged, cores: int | None) -> None:
        self.job = job
        self.cores = cores
        self._resource = resource
        self._staged = staged
        self._gone = threading.Event()
        self._watched: WatchedJob | None = None

    @property
    def handle(self) -> str:
        """The job's id and where its files are."""
        return json.dumps({"job": self.job, "sandbox": self._staged.sandbox})

    @property
    def news(self) -> str:
        """The batch system's own words about the job."""
        return self._watched.state.message if self._watched else ""

    def watch(self, pilot: str, notify: Notify) -> None:
        """Begin to watch the job, and tell of its end."""
        self._watched = self._resource.watch.add(
            self.job, lambda state: self._take_end(AgentEndOf(pilot, notify), state)
        )

    def kill(self) -> None:
        """Remove the job from its queue, with all its processes."""
        try:
            self._resource.queue.cancel([self.job])
        except SubmissionError as error:
            logger.warning(
                "job %s at %s could not be removed, remove it by hand: %s",
                self.job,
                self._resource.service_url,
                error,
                extra={"action": "job.not_removed"},
            )

    def wait(self, timeout_s: float) -> bool:
        """Wait until the queue says that the job has ended, and that was told; returns whether that is so."""
        if self._watched is not None and not self._gone.is_set():
            self._resource.watch.await_end(self._watched)
        return self._gone.wait(timeout_s)
