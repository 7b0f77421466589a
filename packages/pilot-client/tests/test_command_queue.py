"""A queue over commands, with commands of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot.submission.command_queue import CommandQueue
from pilot.submission.dialects import DIALECTS
from pilot_protocol.errors import SubmissionError
from plain_place import PlainPlace
from saga_jobs import job


@pytest.mark.parametrize(
    ("scheme", "tool"), [("torque", "qsub"), ("lsf", "bsub"), ("condor", "condor_submit")]
)
def test_of_a_job_that_is_not_taken_nothing_is_left(tmp_path: Path, scheme: str, tool: str) -> None:
    commands, folder = tmp_path / "bin", tmp_path / "p-1"
    commands.mkdir()
    folder.mkdir()
    (commands / tool).write_text("#!/bin/sh\ncat >/dev/null\necho no such queue >&2\nexit 3\n")
    (commands / tool).chmod(0o700)
    queue = CommandQueue(PlainPlace(str(commands)), DIALECTS[scheme])
    with pytest.raises(SubmissionError, match="does not take the job pilot-p-1: no such queue"):
        queue.submit(job(folder=str(folder)))
    assert list(folder.iterdir()) == []
