"""Pilots' jobs on stand-ins for LoadLeveler and Cobalt, through radical.saga with its corrections."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fake_batch
from pilot.submission.queue import JobPhase
from queue_contract import QueueContract, Queues, await_output, await_phase, submitted, trial, waiting
from saga_trials import need_saga, saga_queues

CORES = 4


@pytest.fixture(scope="module", params=["loadl", "cobalt"])
def cluster(request: pytest.FixtureRequest) -> Iterator[fake_batch.FakeBatch]:
    need_saga()
    with fake_batch.start(request.param, cores=CORES, grace_s=5.0) as running:
        yield running


@pytest.fixture
def queues(cluster: fake_batch.FakeBatch, tmp_path: Path) -> Iterator[Queues]:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".radical").mkdir()  # radical.saga keeps a folder there
    environment = {"PATH": f"{cluster.path}:{os.environ['PATH']}", "HOME": str(home)}
    url = f"{cluster.cluster.settings.system}://localhost/"
    with saga_queues(url, environment, tmp_path / "temp") as make:
        yield make


@pytest.fixture
def options() -> dict[str, Any]:
    """Nothing: the default queue will do."""
    return {}


class TestSagaKeepsTheContractOnStandIns(QueueContract):
    """What every queue promises."""

    def test_another_queue_finds_the_job(
        self, queues: Queues, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """The first queue stays open: a stand-in has no daemon, so its jobs end with the helper that submitted them."""
        first, other, run = queues(), queues(), waiting(tmp_path / "box", **options)
        with submitted(first, run.job) as number:
            await_phase(other, number, {JobPhase.RUNNING})
            run.release()
            assert await_phase(other, number, {JobPhase.ENDED}).exit_code in {None, 3}


def test_a_waiting_job_can_be_canceled(queues: Queues, tmp_path: Path) -> None:
    queue = queues()
    with submitted(queue, waiting(tmp_path / "holder", cores=CORES, processes_per_node=1).job) as first:
        await_phase(queue, first, {JobPhase.RUNNING})
        with submitted(queue, waiting(tmp_path / "second").job) as second:
            await_phase(queue, second, {JobPhase.QUEUED})
            queue.cancel([second])
            await_phase(queue, second, {JobPhase.ENDED})


def test_a_killed_job_has_ended(queues: Queues, cluster: fake_batch.FakeBatch, tmp_path: Path) -> None:
    queue, run = queues(), waiting(tmp_path / "box")
    with submitted(queue, run.job) as number:
        await_output(run, "here")
        record = cluster.cluster.job(int(number.rpartition(".")[2]))
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
        assert await_phase(queue, number, {JobPhase.ENDED}).exit_code in {None, 128 + signal.SIGKILL}


def test_a_canceled_job_runs_until_its_processes_have_ended(queues: Queues, tmp_path: Path) -> None:
    body = "trap 'echo asked; while ! [ -e go ]; do sleep 0.1; done; exit 0' TERM\necho here\nwhile :; do sleep 0.1; done"
    queue, run = queues(), trial(tmp_path / "box", body)
    with submitted(queue, run.job) as number:
        await_output(run, "here")  # from now on it listens to the signal
        await_phase(queue, number, {JobPhase.RUNNING})
        queue.cancel([number])
        assert queue.states([number])[number].phase is JobPhase.RUNNING
        run.release()
        await_phase(queue, number, {JobPhase.ENDED})


def test_servers_that_are_down_are_no_news(
    queues: Queues, cluster: fake_batch.FakeBatch, tmp_path: Path
) -> None:
    queue, run = queues(), waiting(tmp_path / "box")
    with submitted(queue, run.job) as number:
        await_phase(queue, number, {JobPhase.RUNNING})
        cluster.stop_answering()
        try:
            assert queue.states([number])[number].phase is JobPhase.UNKNOWN
        finally:
            cluster.answer_again()
        run.release()
        assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 3
