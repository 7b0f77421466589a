"""Processes of this machine as jobs: who is taken for whom, and what is gone after a cancellation."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pilot.submission.process_queue import ProcessQueue
from pilot.submission.queue import Job, JobPhase, JobState
from pilot_protocol.errors import SubmissionError
from plain_place import PlainPlace

LIMIT_S = 30.0
SHELLS = ["/bin/dash", "/bin/bash", "/bin/bash --posix", "/bin/busybox sh"]

MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """Makes a job of lines of shell, in a sandbox; several jobs need several, which a name tells apart."""

    def make(body: str, sandbox: str = "") -> Job:
        folder = tmp_path / sandbox
        folder.mkdir(exist_ok=True)
        script = folder / "go"
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o700)
        return Job("pilot-p", str(script), str(folder), f"{script}.out", f"{script}.err", 5)

    return make


def until(true: Callable[[], bool]) -> None:
    """Look again and again until something is true."""
    limit = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < limit, "it does not come true"
        time.sleep(0.02)


def is_there(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def pids_in(file: Path, count: int) -> list[int]:
    """Wait for a file with so many numbers of processes."""
    until(lambda: file.exists() and len(file.read_text().split()) == count)
    return [int(word) for word in file.read_text().split()]


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell.split()[0])])
def test_any_posix_shell_will_do(shell: str, make_job: MakeJob, tmp_path: Path) -> None:
    queue = ProcessQueue(PlainPlace(sh=shell), grace_s=0.4)
    job = queue.submit(make_job("trap '' TERM; setsid sleep 1000 & echo $$ $! >pids; wait"))
    processes = pids_in(tmp_path / "pids", 2)
    assert queue.states([job])[job].phase is JobPhase.RUNNING
    queue.cancel([job])
    assert not any(map(is_there, processes))
    assert queue.states([job])[job].phase is JobPhase.ENDED


def test_a_process_that_got_the_same_number_is_neither_the_job_nor_killed(tmp_path: Path) -> None:
    queue = ProcessQueue(PlainPlace())
    job = f"{os.getpid()}.1:{tmp_path}"
    assert queue.states([job])[job].phase is JobPhase.ENDED
    queue.cancel([job])  # we live


def test_a_cancellation_reaches_descendants_that_made_sessions_of_their_own(
    make_job: MakeJob, tmp_path: Path
) -> None:
    queue = ProcessQueue(PlainPlace(), grace_s=0.4)
    inner = "setsid sleep 1000 & echo $$ $! >>pids; wait"
    job = queue.submit(make_job(f"echo $$ >>pids; setsid sh -c '{inner}' & wait"))
    processes = pids_in(tmp_path / "pids", 3)
    queue.cancel([job])
    assert not any(map(is_there, processes))


def test_orphans_in_a_known_session_are_found(make_job: MakeJob, tmp_path: Path) -> None:
    queue = ProcessQueue(PlainPlace(), grace_s=0.4)
    job = queue.submit(make_job("(sleep 1000 & echo $! >>pids); echo $$ >>pids; exec sleep 1000"))
    processes = pids_in(tmp_path / "pids", 2)
    queue.cancel([job])
    assert not any(map(is_there, processes))


def test_who_ends_when_told_is_not_killed(make_job: MakeJob, tmp_path: Path) -> None:
    queue = ProcessQueue(PlainPlace(), grace_s=LIMIT_S)
    job = queue.submit(make_job("trap 'sleep 0.5; exit 7' TERM; echo $$ >pids; sleep 1000 & wait"))
    pids_in(tmp_path / "pids", 1)
    queue.cancel([job])
    assert queue.states([job])[job] == JobState(JobPhase.ENDED, 7)


def test_others_are_left_alone(make_job: MakeJob) -> None:
    queue = ProcessQueue(PlainPlace(), grace_s=0.2)
    kept, job = (queue.submit(make_job("exec sleep 1000", name)) for name in ("kept", "canceled"))
    queue.cancel([job])
    assert queue.states([kept])[kept].phase is JobPhase.RUNNING
    queue.cancel([kept])


def test_a_job_without_an_exit_code_says_why(make_job: MakeJob, tmp_path: Path) -> None:
    queue = ProcessQueue(PlainPlace())
    job = queue.submit(make_job("echo $$ >pids; exec sleep 1000"))
    (script,) = pids_in(tmp_path / "pids", 1)
    os.kill(int(job.split(".")[0]), signal.SIGKILL)
    until(lambda: queue.states([job])[job].phase is JobPhase.ENDED)
    assert queue.states([job])[job].exit_code is None
    assert "killed" in queue.states([job])[job].message
    os.kill(script, signal.SIGKILL)


def test_the_exit_code_of_an_earlier_job_is_not_taken(make_job: MakeJob, tmp_path: Path) -> None:
    queue = ProcessQueue(PlainPlace())
    (tmp_path / "exit_code").write_text("5\n")
    job = queue.submit(make_job("kill -KILL $PPID"))
    until(lambda: queue.states([job])[job].phase is JobPhase.ENDED)
    assert queue.states([job])[job].exit_code is None


def test_a_script_that_cannot_be_run_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("exit 0")
    (tmp_path / "go").chmod(0o600)
    with pytest.raises(SubmissionError, match=r"cannot be started on this machine: .*/go is not executable"):
        ProcessQueue(PlainPlace()).submit(job)


def test_output_that_cannot_be_written_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("exit 0")
    (tmp_path / "go.out").mkdir()
    with pytest.raises(SubmissionError, match=r"cannot be started on this machine: .*go\.out"):
        ProcessQueue(PlainPlace()).submit(job)


def test_a_folder_with_a_line_break_is_refused(make_job: MakeJob) -> None:
    job = make_job("exit 0")
    with pytest.raises(SubmissionError, match="line break"):
        ProcessQueue(PlainPlace()).submit(Job("pilot-p", job.script, "/a\nb", job.output, job.error, 5))


def test_an_answer_that_makes_no_sense_is_no_news(make_job: MakeJob) -> None:
    queue = ProcessQueue(PlainPlace(sh="/bin/false"))
    job = "1.1:/tmp"
    state = queue.states([job])[job]
    assert state.phase is JobPhase.UNKNOWN
    assert "does not say how its processes do" in state.message
