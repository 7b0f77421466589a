"""Pilots at a resource with a queue: files are staged at its place, the script goes into the queue, the job is watched.

The invariant: what was staged for a pilot that the queue did not take, or whose job has ended, holds no secret any more.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict

from pilot.agent_bundle import Bundle
from pilot.pilot_data_door import copy_to_sandbox
from pilot_protocol.errors import SubmissionError
from pilot_session.coordination_url import CoordinationUrl

from .base import AgentEnd, Notify, PilotOrder
from .job_script import explain
from .job_watch import WatchedJob
from .place import Place
from .queue import Job, JobState
from .resource import Resource
from .staging import Staged, read_tail, stage, unstage

logger = logging.getLogger(__name__)

LOG_TAIL_BYTES = 4096


class BatchPlaceholder:
    """A job in a queue.

    Args:
        order: Its pilot's.
        resource: Where it is.
        job: Its id there.
        staged: What lies at the place for it.
        notify: Told when it has ended.
    """

    def __init__(
        self, order: PilotOrder, resource: Resource, job: str, staged: Staged, notify: Notify
    ) -> None:
        self.job = job
        self.cores = order.spec.cores
        self._pilot = order.pilot
        self._resource = resource
        self._staged = staged
        self._notify = notify
        self._gone = threading.Event()
        self._watched: WatchedJob = resource.watch.add(job, self._take_end)

    @property
    def handle(self) -> str:
        """The job's id and where its files are."""
        return json.dumps({"job": self.job, "staged": asdict(self._staged)})

    @property
    def news(self) -> str:
        """The batch system's own words about the job."""
        return self._watched.state.message

    def kill(self) -> None:
        """Remove the job from its queue, with all its processes.

        Raises:
            SubmissionError: The queue does not answer or refuses.
        """
        try:
            self._resource.queue.cancel([self.job])
        finally:
            self._resource.watch.await_end(self._watched)

    def wait(self, timeout_s: float) -> bool:
        """Wait until the queue says that the job has ended, and that was told; returns whether that is so."""
        if not self._gone.is_set():
            self._resource.watch.await_end(self._watched)
        return self._gone.wait(timeout_s)

    def _take_end(self, state: JobState) -> None:
        log = self._read_log()
        _clear_away(self._resource.place, self._staged)
        explained = None if state.exit_code is None else explain(state.exit_code)
        words = "; ".join(filter(None, [state.message, explained]))
        try:
            self._notify(AgentEnd(self._pilot, state.exit_code, log, words))
        finally:
            self._gone.set()

    def _read_log(self) -> str:
        """Return the job's last words: what it wrote to standard error, else to its output, where some systems report."""
        try:
            for path in (self._staged.error, self._staged.output):
                text = read_tail(self._resource.place, path, LOG_TAIL_BYTES)
                if text.strip():
                    return text
        except SubmissionError as error:
            return f"(its log cannot be read: {error})"
        return ""


class BatchSubmitter:
    """Submits pilots to one resource.

    Args:
        resource: Where.
        redis: The session's server, as this machine reaches it.
        find_bundle: Returns the agent in one file.
    """

    def __init__(self, resource: Resource, redis: CoordinationUrl, find_bundle: Callable[[], Bundle]) -> None:
        self._resource = resource
        self._redis = redis
        self._find_bundle = find_bundle

    def submit(self, order: PilotOrder, notify: Notify) -> BatchPlaceholder:
        """Stage a pilot's files and put its job into the queue.

        Raises:
            SubmissionError: The place is not reached, its folders cannot be used, or the queue does not take the job.
        """
        resource, spec = self._resource, order.spec
        if spec.file_transfer and not resource.place.url_of("/"):
            raise SubmissionError(
                f"file_transfer of a pilot is not done at {spec.service_url}; copy the files before"
            )
        route = resource.route(self._redis, tunnel=spec.tunnel)
        more = {"cores": spec.cores, "lrms": resource.lrms, **route.settings()}
        staged = stage(resource.place, order, self._find_bundle(), more)
        try:
            if spec.file_transfer:
                copy_to_sandbox(spec.file_transfer, resource.place.url_of(staged.sandbox))
            job = resource.queue.submit(_job_of(order, staged))
        except BaseException:
            _clear_away(resource.place, staged)
            raise
        return BatchPlaceholder(order, resource, job, staged, notify)

    def attach(self, order: PilotOrder, handle: str, notify: Notify) -> BatchPlaceholder:
        """Return the job that another process put into the queue."""
        known = json.loads(handle)
        return BatchPlaceholder(order, self._resource, known["job"], Staged(**known["staged"]), notify)

    def close(self) -> None:
        """Close the resource."""
        self._resource.close()


def _clear_away(place: Place, staged: Staged) -> None:
    try:
        unstage(place, staged)
    except SubmissionError as error:
        logger.warning("%s", error, extra={"action": "job.files_left"})


def _job_of(order: PilotOrder, staged: Staged) -> Job:
    spec = order.spec
    return Job(
        name=f"pilot-{order.pilot}",
        script=staged.script,
        folder=staged.sandbox,
        output=staged.output,
        error=staged.error,
        walltime_min=spec.walltime,
        cores=spec.cores,
        nodes=spec.number_of_nodes,
        processes_per_node=spec.processes_per_node,
        gpus_per_node=spec.gpus_per_node,
        memory_per_node_mb=spec.memory_per_node_mb,
        queue=spec.queue,
        project=spec.project,
        candidate_hosts=spec.candidate_hosts,
        spmd_variation=spec.spmd_variation,
    )
