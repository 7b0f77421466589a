"""Pilots' jobs on a real Slurm, through radical.saga."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilot.submission.queue import JobPhase
from pilot.submission.saga.queue import SagaQueue
from pilot_protocol.errors import SubmissionError
from queue_contract import QueueContract, Queues, await_output, await_phase, submitted, trial, waiting
from saga_trials import need_saga, saga_queues
from slurm import SlurmCluster, running_slurm


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """A cluster of two nodes."""
    need_saga()
    with running_slurm() as cluster:
        yield cluster


@pytest.fixture
def queues(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Queues]:
    """Makes queues of that cluster."""
    with saga_queues(slurm.url, slurm.environment, tmp_path / "temp") as make:
        yield make


@pytest.fixture
def options() -> dict[str, Any]:
    """Nothing: the partition is the default one."""
    return {}


class TestSlurmKeepsTheContract(QueueContract):
    """What every queue promises."""


def test_a_waiting_job_says_why_and_can_be_canceled(queues: Queues, tmp_path: Path) -> None:
    queue = queues()
    holder = waiting(tmp_path / "holder", nodes=2, cores=None)
    with submitted(queue, holder.job) as first:
        await_phase(queue, first, {JobPhase.RUNNING})
        with submitted(queue, waiting(tmp_path / "second").job) as second:
            state = await_phase(queue, second, {JobPhase.QUEUED})
            assert state.message in {"Resources", "Priority"}
            queue.cancel([second])
            assert await_phase(queue, second, {JobPhase.ENDED}).message.startswith("CANCELLED")


NODES = (
    "scontrol show hostnames $SLURM_JOB_NODELIST | wc -l; echo $SLURM_JOB_CPUS_PER_NODE $SLURM_JOB_GPUS done"
)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"cores": 3}, "1\n3 done"),
        ({"cores": 5}, "2\n3(x2) done"),
        ({"cores": None}, "1\n4 0,1 done"),
        ({"cores": None, "nodes": 2}, "2\n4(x2) 0,1 done"),
        ({"cores": 2, "nodes": 2, "processes_per_node": 1}, "2\n1(x2) done"),
        ({"cores": 2, "gpus_per_node": 2}, "1\n2 0,1 done"),
        ({"cores": 1, "candidate_hosts": ["node2"], "memory_per_node_mb": 100}, "1\n1 done"),
    ],
)
def test_a_job_gets_what_it_asks_for(queues: Queues, tmp_path: Path, wish: dict[str, Any], told: str) -> None:
    queue, run = queues(), trial(tmp_path / "box", NODES, **wish)
    with submitted(queue, run.job) as number:
        await_output(run, "done")
        assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 0
    assert run.output().strip() == told


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"cores": 9}, "debug can never run the pilot, which asks for number_of_processes=9"),
        ({"cores": None, "nodes": 3}, "number_of_nodes=3"),
        ({"cores": 1, "gpus_per_node": 3}, "gpus_per_node=3"),
        ({"cores": 1, "memory_per_node_mb": 9000}, "memory_per_node_mb=9000"),
        ({"cores": 1, "walltime_min": 6.0, "queue": "short"}, "over the limit of partition short, 5 min"),
        ({"cores": 1, "spmd_variation": "mpi"}, "spmd_variation"),
    ],
)
def test_what_could_never_run_is_refused(
    queues: Queues, tmp_path: Path, wish: dict[str, Any], words: str
) -> None:
    run = trial(tmp_path / "box", "true")
    with pytest.raises(SubmissionError, match=words):
        queues().submit(replace(run.job, **wish))


def test_a_job_is_not_run_again_after_its_node_failed(
    queues: Queues, slurm: SlurmCluster, tmp_path: Path
) -> None:
    queue, run = queues(), waiting(tmp_path / "box")
    with submitted(queue, run.job) as number:
        await_phase(queue, number, {JobPhase.RUNNING})
        assert "Requeue=0" in slurm.command("scontrol", "show", "job", number)


def test_a_silent_controller_is_no_news(queues: Queues, slurm: SlurmCluster, tmp_path: Path) -> None:
    queue, run = queues(), waiting(tmp_path / "box")
    with submitted(queue, run.job) as number:
        await_phase(queue, number, {JobPhase.RUNNING})
        slurm.stop_controller()
        try:
            state = queue.states([number])[number]
            with pytest.raises(SubmissionError, match="Unable to contact slurm controller"):
                queue.submit(run.job)
        finally:
            slurm.start_controller()
        assert state.phase is JobPhase.UNKNOWN
        assert "Unable to contact slurm controller" in state.message
        await_phase(queue, number, {JobPhase.RUNNING})
        run.release()
        assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 3


def test_a_controller_that_hangs_longer_than_a_request_may_costs_the_helper_only(
    queues: Queues, slurm: SlurmCluster, tmp_path: Path
) -> None:
    run = waiting(tmp_path / "box")
    with submitted(queues(), run.job) as number, closing(SagaQueue(slurm.url, request_limit_s=4.0)) as hasty:
        slurm.pause_controller()
        try:
            state = hasty.states([number])[number]
        finally:
            slurm.resume_controller()
        assert state.phase is JobPhase.UNKNOWN
        assert "did not answer in time" in state.message
        await_phase(hasty, number, {JobPhase.RUNNING})
