"""Pilots' jobs on stand-ins for LoadLeveler and Cobalt, through radical.saga with its corrections."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import fake_batch
from pilot.submission.queue import JobPhase, Queue
from queue_contract import QueueContract, Queues, Site, await_output, await_phase, submitted, trial, waiting
from saga_trials import need_saga

CORES = 4


@pytest.fixture(scope="module", params=["loadl", "cobalt"])
def cluster(request: pytest.FixtureRequest) -> Iterator[fake_batch.FakeBatch]:
    need_saga()
    with fake_batch.start(request.param, cores=CORES, grace_s=5.0) as running:
        yield running


@pytest.fixture(scope="module")
def site(cluster: fake_batch.FakeBatch, tmp_path_factory: pytest.TempPathFactory) -> Site:
    home = tmp_path_factory.mktemp("home")
    (home / ".radical").mkdir()  # radical.saga keeps a folder there
    return Site(
        f"{cluster.cluster.settings.system}://localhost/",
        {"PATH": f"{cluster.path}:{os.environ['PATH']}", "HOME": str(home)},
        whole={"cores": CORES, "processes_per_node": 1},
        silent=cluster.silent,
        complaint="(?i)connect|address|down",
    )


class TestSagaOnStandIns(QueueContract):
    """What every queue promises, and what the corrections see to."""

    def test_another_queue_finds_the_job(self, queue: Queue, queues: Queues, tmp_path: Path) -> None:
        """The first queue stays open: a stand-in has no daemon, so its jobs end with the helper that submitted them."""
        run = waiting(tmp_path / "box")
        with submitted(queue, run.job) as number:
            other = queues()
            await_phase(other, number, {JobPhase.RUNNING})
            run.release()
            assert await_phase(other, number, {JobPhase.ENDED}).exit_code in {None, 3}

    def test_a_batch_script_that_is_killed_has_ended(
        self, queue: Queue, cluster: fake_batch.FakeBatch, tmp_path: Path
    ) -> None:
        run = waiting(tmp_path / "box")
        with submitted(queue, run.job) as number:
            await_output(run, "here")
            record = cluster.cluster.job(int(number.rpartition(".")[2]))
            assert record is not None
            os.kill(record.pid, signal.SIGKILL)
            assert await_phase(queue, number, {JobPhase.ENDED}).exit_code in {None, 128 + signal.SIGKILL}

    def test_a_canceled_job_runs_until_its_processes_have_ended(self, queue: Queue, tmp_path: Path) -> None:
        body = "trap 'echo asked; while ! [ -e go ]; do sleep 0.1; done; exit 0' TERM\necho here\nwhile :; do sleep 0.1; done"
        run = trial(tmp_path / "box", body)
        with submitted(queue, run.job) as number:
            await_output(run, "here")  # from now on it listens to the signal
            await_phase(queue, number, {JobPhase.RUNNING})
            queue.cancel([number])
            assert queue.states([number])[number].phase is JobPhase.RUNNING
            run.release()
            await_phase(queue, number, {JobPhase.ENDED})
