"""A pilot's job in a queue whose answers are given."""

from __future__ import annotations

import queue as queues
from collections.abc import Mapping, Sequence

import pytest

from pilot.submission import AgentEnd, PilotOrder
from pilot.submission.batch import BatchPlaceholder
from pilot.submission.queue import Job, JobPhase, JobState
from pilot.submission.resource import Resource
from pilot.submission.staging import Staged
from pilot_protocol.errors import SubmissionError
from pilot_protocol.specs import PilotSpec
from plain_place import PlainPlace

LIMIT_S = 30.0
STAGED = Staged(*(f"/nonexistent/{name}" for name in ("p", "bundle", "settings", "script", "out", "err")))


class RefusingQueue:
    """A queue that removes no job; its only one ends when the test says so."""

    def __init__(self) -> None:
        self.phase = JobPhase.RUNNING

    def submit(self, job: Job) -> str:
        raise NotImplementedError(job)

    def states(self, jobs: Sequence[str]) -> Mapping[str, JobState]:
        return dict.fromkeys(jobs, JobState(self.phase))

    def cancel(self, jobs: Sequence[str]) -> None:
        raise SubmissionError(f"{jobs} stay")

    def close(self) -> None:
        return


def test_whoever_kills_a_job_that_stays_is_told_and_hears_of_its_end_nevertheless(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends: queues.Queue[AgentEnd] = queues.Queue()
    queue = RefusingQueue()
    resource = Resource("torque://h", PlainPlace(), queue, None)
    order = PilotOrder("p-aaaaaaaa", PilotSpec("torque://h"), {})
    placeholder = BatchPlaceholder(order, resource, "7", STAGED, ends.put)
    with pytest.raises(SubmissionError, match=r"\['7'\] stay"):
        placeholder.kill()
    assert not caplog.records, "whether that matters, the one who kills knows"
    queue.phase = JobPhase.ENDED
    assert ends.get(timeout=LIMIT_S) == AgentEnd("p-aaaaaaaa", None, "")
    assert placeholder.wait(LIMIT_S)
    resource.close()
