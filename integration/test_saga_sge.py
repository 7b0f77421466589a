"""Pilots' jobs on a real Grid Engine, through radical.saga."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilot.submission.queue import JobPhase
from pilot_protocol.errors import SubmissionError
from queue_contract import QueueContract, Queues, await_phase, submitted, trial, waiting
from saga_trials import need_saga, saga_queues
from sge import SgeCluster, running_sge


@pytest.fixture(scope="module")
def sge() -> Iterator[SgeCluster]:
    """A Grid Engine with one host of 4 slots."""
    need_saga()
    with running_sge() as cluster:
        yield cluster


@pytest.fixture
def queues(sge: SgeCluster, tmp_path: Path) -> Iterator[Queues]:
    """Makes queues of it."""
    with saga_queues(sge.url, sge.environment, tmp_path / "temp") as make:
        yield make


@pytest.fixture
def options() -> dict[str, Any]:
    """Nothing: any queue will do."""
    return {}


class TestSgeKeepsTheContract(QueueContract):
    """What every queue promises."""


def test_a_waiting_job_can_be_canceled(queues: Queues, tmp_path: Path) -> None:
    queue = queues()
    with submitted(queue, waiting(tmp_path / "holder", cores=4).job) as first:
        await_phase(queue, first, {JobPhase.RUNNING})
        with submitted(queue, waiting(tmp_path / "second").job) as second:
            await_phase(queue, second, {JobPhase.QUEUED})
            queue.cancel([second])
            await_phase(queue, second, {JobPhase.ENDED})


@pytest.mark.parametrize(("wish", "told"), [("", "smp 3"), ("mpi", "mpi 3")])
def test_a_parallel_environment_is_chosen_unless_named(
    queues: Queues, tmp_path: Path, wish: str, told: str
) -> None:
    run = trial(tmp_path / "box", "echo $PE $NSLOTS", cores=3, spmd_variation=wish)
    with submitted(queue := queues(), run.job) as number:
        assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 0
    assert run.output().strip() == told


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"cores": 5}, r"no parallel environment of Grid Engine has 5 slots .* smp \(\$pe_slots, 4 slots\)"),
        ({"cores": 2, "spmd_variation": "orte"}, "no parallel environment here; there are: .*smp"),
        ({"cores": None}, "slots, not nodes"),
        ({"cores": 1, "gpus_per_node": 1}, "gpus_per_node"),
        ({"cores": 1, "memory_per_node_mb": 100}, "memreqs"),
        ({"cores": 1, "walltime_min": 6.0, "queue": "short.q"}, "queue short.q .* no walltime of 6 min"),
    ],
)
def test_what_could_never_run_is_refused(
    queues: Queues, tmp_path: Path, wish: dict[str, Any], words: str
) -> None:
    run = trial(tmp_path / "box", "true")
    with pytest.raises(SubmissionError, match=words):
        queues().submit(replace(run.job, **wish))


def test_a_killed_job_has_ended(queues: Queues, sge: SgeCluster, tmp_path: Path) -> None:
    queue, run = queues(), trial(tmp_path / "box", "echo here; kill -9 $$")
    with submitted(queue, run.job) as number:
        assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == -9


def test_a_silent_master_is_no_news(queues: Queues, sge: SgeCluster, tmp_path: Path) -> None:
    queue, run = queues(), waiting(tmp_path / "box")
    with submitted(queue, run.job) as number:
        await_phase(queue, number, {JobPhase.RUNNING})
        sge.stop_master()
        try:
            state = queue.states([number])[number]
            with pytest.raises(SubmissionError, match="unable to send message to qmaster"):
                queue.submit(run.job)
        finally:
            sge.start_master()
        assert state.phase is JobPhase.UNKNOWN
        assert "unable to send message to qmaster" in state.message
        await_phase(queue, number, {JobPhase.RUNNING})
        run.release()
        assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 3
