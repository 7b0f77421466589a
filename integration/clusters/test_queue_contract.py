"""What all queues promise, over plain processes and over stand-ins for batch systems."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pilot.submission.command_queue import CommandQueue
from pilot.submission.dialects import DIALECTS
from pilot.submission.queue import JobPhase, JobState
from pilot_protocol.errors import SubmissionError
from queue_bench import BATCH, GATED, PATIENT, Bench, bench, until_phase
from until import until

QUEUED, RUNNING, ENDED, UNKNOWN = JobPhase.QUEUED, JobPhase.RUNNING, JobPhase.ENDED, JobPhase.UNKNOWN
REFUSALS = {
    "torque": ("Unknown queue", "exceeds queue resource limits", "Invalid Account"),
    "pbspro": ("Unknown queue", "violates queue and/or server resource limits", "Invalid account"),
    "lsf": ("No such queue", "Cannot exceed queue's hard limit", "No such project"),
}
OVER_WALLTIME = {
    "torque": "longer than",
    "pbspro": "longer than",
    "lsf": "RUNLIMIT",
    "condor": "PeriodicRemove",
}

every = pytest.mark.parametrize("kind", ["process", *BATCH])
batch = pytest.mark.parametrize("kind", BATCH)


@pytest.fixture
def at(kind: str, tmp_path: Path) -> Iterator[Bench]:
    """A bench whose sandbox has all in its name that shells care about."""
    with bench(kind, tmp_path / "a b'c\"d $HOME `e` ü*;&") as made:
        yield made
        until(made.gone)


@every
def test_a_job_runs_and_ends_with_its_exit_code(at: Bench) -> None:
    queue = at.queue()
    job = queue.submit(at.job(GATED))
    assert until_phase(queue, job, RUNNING).exit_code is None
    at.open_gate("run", 3)
    assert until_phase(queue, job, ENDED).exit_code == 3


@every
def test_a_job_that_ends_well(at: Bench) -> None:
    queue = at.queue()
    assert until_phase(queue, queue.submit(at.job("exit 0")), ENDED).exit_code == 0


@every
def test_a_job_that_a_signal_ends(at: Bench) -> None:
    queue = at.queue()
    assert until_phase(queue, queue.submit(at.job("kill -KILL $$")), ENDED).exit_code == 128 + 9


@every
def test_what_a_job_writes_is_in_its_files_and_its_umask_is_the_users(at: Bench) -> None:
    queue = at.queue()
    users_umask = subprocess.check_output(["/bin/sh", "-c", "umask"], text=True).strip()
    job = at.job('echo said; echo complained >&2; pwd; umask; echo "$0"; cat')
    until_phase(queue, queue.submit(job), ENDED)
    assert Path(job.output).read_text().splitlines() == ["said", job.folder, users_umask, job.script]
    assert Path(job.error).read_text() == "complained\n"


@every
def test_signals_that_shells_ignore_in_the_background_are_not_ignored_in_a_job(at: Bench) -> None:
    queue = at.queue()
    job = at.job("grep SigIgn /proc/self/status")
    until_phase(queue, queue.submit(job), ENDED)
    assert int(Path(job.output).read_text().split()[1], 16) & 0b110 == 0  # SIGINT, SIGQUIT


@batch
def test_a_job_waits_until_there_is_room(at: Bench) -> None:
    queue = at.queue()
    first = queue.submit(at.job(GATED, "first", cores=2))
    second = queue.submit(at.job(GATED, "second"))
    until_phase(queue, first, RUNNING)
    assert queue.states([second])[second].phase is QUEUED
    at.open_gate("first", 0)
    until_phase(queue, second, RUNNING)
    at.open_gate("second", 4)
    assert until_phase(queue, second, ENDED).exit_code == 4


@every
def test_a_running_job_is_told_of_its_cancellation(at: Bench) -> None:
    queue = at.queue()
    job = queue.submit(at.job(PATIENT))
    until((at.folder / "run" / "go.pid").exists)
    queue.cancel([job])
    until_phase(queue, job, ENDED)
    assert (at.folder / "run" / "go.told").read_text() == "told\n"
    queue.cancel([job])


@batch
def test_the_signals_of_the_batch_system_go_to_the_script_itself(at: Bench) -> None:
    queue = at.queue()
    queue.submit(at.job(PATIENT))
    pid = at.folder / "run" / "go.pid"
    until(lambda: pid.exists() and pid.read_text() != "")
    record = at.batch.cluster.job(1)
    assert record is not None
    assert int(pid.read_text()) == record.pid
    queue.cancel(["1.0" if at.kind == "condor" else "1" if at.kind == "lsf" else "1.head"])


@batch
def test_a_waiting_job_is_cancelled(at: Bench) -> None:
    queue = at.queue()
    first = queue.submit(at.job(GATED, "first", cores=2))
    second = queue.submit(at.job("exit 0", "second"))
    queue.cancel([second])
    assert queue.states([second])[second].phase is ENDED
    at.open_gate("first", 0)
    until_phase(queue, first, ENDED)
    assert not (at.folder / "second" / "go.out").exists()


@every
def test_many_jobs_are_asked_for_and_cancelled_with_one_command(at: Bench) -> None:
    queue = at.queue()
    jobs = [queue.submit(at.job(PATIENT, f"run{number}")) for number in range(5)]
    assert len(set(jobs)) == len(at.place.commands) == 5
    assert {state.phase for state in queue.states(jobs).values()} <= {QUEUED, RUNNING}
    assert len(at.place.commands) == 6
    queue.cancel(jobs)
    assert len(at.place.commands) == 7
    for job in jobs:
        until_phase(queue, job, ENDED)


@every
def test_no_jobs_need_no_command(at: Bench) -> None:
    queue = at.queue()
    queue.cancel([])
    assert queue.states([]) == {}
    assert at.place.commands == []


@every
def test_an_id_that_nobody_knows_has_ended(at: Bench) -> None:
    queue = at.queue()
    job = queue.submit(at.job(GATED))
    until_phase(queue, job, RUNNING)
    phases = {name: state.phase for name, state in queue.states([at.unknown, job]).items()}
    assert phases == {at.unknown: ENDED, job: RUNNING}
    assert queue.states(["what"])["what"].phase is ENDED
    at.open_gate("run", 0)
    until_phase(queue, job, ENDED)
    queue.cancel([job, at.unknown])


@batch
def test_a_job_that_the_batch_system_has_forgotten_has_ended(at: Bench) -> None:
    queue = at.queue()
    job = queue.submit(at.job("exit 3"))
    until_phase(queue, job, ENDED)
    at.batch.forget()
    assert queue.states([job]) == {job: JobState(ENDED)}


@every
def test_another_client_takes_over(at: Bench) -> None:
    job = at.queue().submit(at.job(GATED))
    other = at.queue()
    until_phase(other, job, RUNNING)
    at.open_gate("run", 6)
    assert until_phase(at.queue(), job, ENDED).exit_code == 6


@every
def test_a_machine_that_is_not_reached_means_no_news(at: Bench) -> None:
    queue = at.queue()
    job = queue.submit(at.job(GATED))
    at.place.reached = False
    assert queue.states([job]) == {job: JobState(UNKNOWN, None, "this machine cannot be reached")}
    with pytest.raises(SubmissionError, match="cannot be reached"):
        queue.submit(at.job("exit 0", "other"))
    with pytest.raises(SubmissionError, match="cannot be reached"):
        queue.cancel([job])
    at.place.reached = True
    at.open_gate("run", 0)
    assert until_phase(queue, job, ENDED).exit_code == 0


@batch
def test_a_batch_system_that_does_not_answer_means_no_news(at: Bench) -> None:
    queue = at.queue()
    job = queue.submit(at.job(GATED))
    until_phase(queue, job, RUNNING)
    with at.batch.silent():
        state = queue.states([job, at.unknown])[job]
        assert (state.phase, queue.states([at.unknown])[at.unknown].phase) == (UNKNOWN, UNKNOWN)
        assert "on this machine" in state.message
        with pytest.raises(
            SubmissionError, match=r"does not take the job pilot-p-other: .*(onnect|address|down)"
        ):
            queue.submit(at.job("exit 0", "other"))
        with pytest.raises(SubmissionError, match="does not cancel"):
            queue.cancel([job])
    assert queue.states([job])[job].phase is RUNNING
    at.open_gate("run", 0)
    until_phase(queue, job, ENDED)


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_the_batch_system_does_not_take_is_refused_in_its_words(kind: str, tmp_path: Path) -> None:
    with bench(kind, tmp_path / "sandboxes", projects=("chemistry",)) as at:
        no_queue, no_time, no_project = REFUSALS[kind]
        with pytest.raises(SubmissionError, match=no_queue):
            at.queue().submit(at.job("exit 0", "a", queue="nosuch"))
        with pytest.raises(SubmissionError, match=no_time):
            at.queue().submit(at.job("exit 0", "b", queue="short", walltime_min=11))
        with pytest.raises(SubmissionError, match=no_project):
            at.queue().submit(at.job("exit 0", "c", project="alchemy"))
        until_phase(
            at.queue(), at.queue().submit(at.job("exit 0", queue="short", project="chemistry")), ENDED
        )


def test_a_universe_that_there_is_not_is_refused_in_the_words_of_condor(tmp_path: Path) -> None:
    with bench("condor", tmp_path / "sandboxes", projects=("chemistry",)) as at:
        with pytest.raises(SubmissionError, match="I don't know about the 'nosuch' universe"):
            at.queue().submit(at.job("exit 0", "a", queue="nosuch"))
        with pytest.raises(SubmissionError, match="'alchemy' is not allowed"):
            at.queue().submit(at.job("exit 0", "b", project="alchemy"))


@batch
def test_a_job_that_runs_too_long_is_ended_and_the_reason_told(kind: str, tmp_path: Path) -> None:
    with bench(kind, tmp_path / "sandboxes", minute_s=1.0) as at:
        queue = at.queue()
        state = until_phase(queue, queue.submit(at.job(PATIENT, walltime_min=1)), ENDED)
        assert OVER_WALLTIME[kind] in state.message
        until(at.gone)


@batch
def test_commands_that_are_not_there_are_named(at: Bench) -> None:
    nowhere = replace(
        DIALECTS[at.kind], tool="no-such-tool", submit="no-such-tool", ask=lambda _: "no-such-tool"
    )
    queue = CommandQueue(at.place, nowhere)
    with pytest.raises(
        SubmissionError, match=r"on this machine is not there: .*no-such-tool.*PATH of a login shell"
    ):
        queue.submit(at.job("exit 0"))
    state = queue.states(["1"])["1"]
    assert state.phase is UNKNOWN
    assert "is not there" in state.message


@every
def test_a_sandbox_that_is_not_there(at: Bench) -> None:
    job = replace(at.job("exit 0"), folder="/no/such folder")
    with pytest.raises(SubmissionError, match="/no/such folder"):
        at.queue().submit(job)


@every
def test_only_known_files_are_left_in_the_sandbox(at: Bench) -> None:
    queue = at.queue()
    until_phase(queue, queue.submit(at.job("exit 0")), ENDED)
    there = {path.name for path in (at.folder / "run").iterdir()} - {"go", "go.out", "go.err"}
    allowed = {"exit_code", f"batch.{at.kind}", "batch.out", "batch.log", "pilot-p-run.o1"}
    assert there <= allowed
