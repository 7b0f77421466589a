"""Pilots' jobs on a real Slurm, through radical.saga."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilot.submission.queue import JobPhase, Queue
from pilot.submission.saga.queue import SagaQueue
from pilot_protocol.errors import SubmissionError
from queue_contract import (
    QueueContract,
    Queues,
    Site,
    await_output,
    await_phase,
    check_refusal,
    submitted,
    trial,
    waiting,
)
from saga_trials import need_saga
from slurm import SlurmCluster, running_slurm
from small_disk import full_disk

NODES = (
    "scontrol show hostnames $SLURM_JOB_NODELIST | wc -l; echo $SLURM_JOB_CPUS_PER_NODE $SLURM_JOB_GPUS done"
)


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """A cluster of two nodes."""
    need_saga()
    with running_slurm() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def site(slurm: SlurmCluster) -> Site:
    """That cluster."""
    return Site(
        slurm.url,
        slurm.environment,
        whole={"nodes": 2, "cores": None},
        silent=slurm.silent,
        complaint="Unable to contact slurm controller",
        reasons=("Resources", "Priority"),
    )


class TestSlurm(QueueContract):
    """What every queue promises, and what Slurm adds to it."""

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
    def test_a_job_gets_what_it_asks_for(
        self, queue: Queue, tmp_path: Path, wish: dict[str, Any], told: str
    ) -> None:
        run = trial(tmp_path / "box", NODES, **wish)
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
        self, queue: Queue, tmp_path: Path, wish: dict[str, Any], words: str
    ) -> None:
        check_refusal(queue, tmp_path / "box", wish, words)

    def test_a_job_is_not_run_again_after_its_node_failed(
        self, queue: Queue, slurm: SlurmCluster, tmp_path: Path
    ) -> None:
        with submitted(queue, waiting(tmp_path / "box").job) as number:
            await_phase(queue, number, {JobPhase.RUNNING})
            assert "Requeue=0" in slurm.command("scontrol", "show", "job", number)

    def test_a_controller_that_hangs_longer_than_a_request_may_costs_the_helper_only(
        self, queue: Queue, slurm: SlurmCluster, tmp_path: Path
    ) -> None:
        run = waiting(tmp_path / "box")
        with (
            submitted(queue, run.job) as number,
            closing(SagaQueue(slurm.url, request_limit_s=4.0)) as hasty,
        ):
            with slurm.hanging():
                state = hasty.states([number])[number]
            assert state.phase is JobPhase.UNKNOWN
            assert "did not answer in time" in state.message
            await_phase(hasty, number, {JobPhase.RUNNING})

    def test_a_full_folder_for_temporary_files_is_told(
        self, queues: Queues, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with full_disk(tmp_path / "full", "files") as folder:
            monkeypatch.setattr(tempfile, "tempdir", str(folder))
            with pytest.raises(SubmissionError, match=f"No space left .*{folder}.* set TMPDIR"):
                queues()

    @pytest.mark.parametrize("lack", ["files", "bytes"])
    def test_a_full_folder_for_the_batch_script_is_told(
        self, queue: Queue, tmp_path: Path, lack: str
    ) -> None:
        run = trial(tmp_path / "box", "true")
        with (
            full_disk(tmp_path / "full", lack) as folder,
            pytest.raises(SubmissionError, match=f"{folder}.* cannot be written"),
        ):
            queue.submit(replace(run.job, folder=str(folder)))
