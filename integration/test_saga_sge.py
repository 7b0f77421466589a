"""Pilots' jobs on a real Grid Engine, through radical.saga."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pilot.submission.queue import JobPhase, Queue
from pilot.submission.saga import sge as saga_sge
from queue_contract import QueueContract, Queues, Site, await_phase, check_refusal, submitted, trial
from saga_trials import need_saga
from sge import SLOTS, running_sge
from small_disk import full_disk


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A Grid Engine with one host, which writes its accounting at once."""
    need_saga()
    with running_sge() as cluster, pytest.MonkeyPatch.context() as patch:
        patch.setattr(saga_sge, "ACCOUNTING_DELAY_S", 3.0)
        yield Site(
            cluster.url,
            cluster.environment,
            whole={"cores": SLOTS},
            silent=cluster.silent,
            complaint="unable to send message to qmaster",
        )


class TestSge(QueueContract):
    """What every queue promises, and what Grid Engine adds to it."""

    @pytest.mark.parametrize(("wish", "told"), [("", "smp 3"), ("mpi", "mpi 3")])
    def test_a_parallel_environment_is_chosen_unless_named(
        self, queue: Queue, tmp_path: Path, wish: str, told: str
    ) -> None:
        run = trial(tmp_path / "box", "echo $PE $NSLOTS", cores=3, spmd_variation=wish)
        with submitted(queue, run.job) as number:
            assert await_phase(queue, number, {JobPhase.ENDED}).exit_code == 0
        assert run.output().strip() == told

    @pytest.mark.parametrize(
        ("wish", "words"),
        [
            (
                {"cores": 5},
                r"no parallel environment of Grid Engine has 5 slots .* smp \(\$pe_slots, 4 slots\)",
            ),
            ({"cores": 2, "spmd_variation": "orte"}, "no parallel environment here; there are: .*smp"),
            ({"cores": None}, "slots, not nodes"),
            ({"cores": 1, "gpus_per_node": 1}, "gpus_per_node"),
            ({"cores": 1, "memory_per_node_mb": 100}, "memreqs"),
            ({"cores": 1, "walltime_min": 6.0, "queue": "short.q"}, "queue short.q .* no walltime of 6 min"),
        ],
    )
    def test_what_could_never_run_is_refused(
        self, queue: Queue, tmp_path: Path, wish: dict[str, Any], words: str
    ) -> None:
        check_refusal(queue, tmp_path / "box", wish, words)

    @pytest.mark.parametrize(
        ("lack", "words"), [("files", "mktemp: .*No space left"), ("bytes", "TMPDIR.*full")]
    )
    def test_a_full_folder_for_the_job_script_is_told(
        self, queues: Queues, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: str, words: str
    ) -> None:
        """radical.saga goes on without a script, and qsub reads one from the terminal for ever."""
        with full_disk(tmp_path / "full", lack) as folder:
            monkeypatch.setenv("TMPDIR", str(folder))
            with closing(queues()) as full:
                check_refusal(full, tmp_path / "box", {}, words)
