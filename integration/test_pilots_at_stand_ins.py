"""Whole pilots through stand-ins of the batch systems that cannot be had here: real agents, real units, a real Redis."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from child_program import Ended, home_environment, kill_all, run_python
from fake_batch.cluster import Cluster
from ports import free_port
from real_redis import running_server
from resources import TestResource
from saga_trials import need_saga
from stand_ins import CORES, STAND_INS, StandIn, running_stand_in
from test_quickstart import OUTPUT, QUICKSTART

pytestmark = pytest.mark.timeout(120)

PROBE = Path(__file__).with_name("pilot_probe.py")


@dataclass(frozen=True)
class Trial:
    """A stand-in with a Redis server beside it.

    Attributes:
        way: What leads there.
        resource: Where pilots are started.
        cluster: What stands in.
        redis_url: The server.
    """

    way: StandIn
    resource: TestResource
    cluster: Cluster
    redis_url: str

    def run(self, program: Path, *arguments: str) -> Ended:
        """Run a program as a user of the resource."""
        home = self.resource.home
        return run_python(program, home_environment(home, **self.resource.variables), *arguments)


@pytest.fixture(scope="module", params=STAND_INS, ids=lambda way: way.name)
def trial(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    way: StandIn = request.param
    if way.uses_saga:
        need_saga()
    with (
        running_server(tmp_path_factory.mktemp("redis"), free_port()) as url,
        running_stand_in(way) as (resource, batch),
    ):
        yield Trial(way, resource, batch.cluster, url)
        kill_all(resource.home)


@pytest.fixture(scope="module")
def probed(trial: Trial) -> dict[str, Any]:
    """What a program says of a pilot that it cancels while a unit runs, and of one that cannot start."""
    ended = trial.run(PROBE, trial.redis_url, trial.resource.service_url)
    ended.check_clean()
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def test_the_example_runs_with_only_its_service_url_changed(trial: Trial) -> None:
    text = QUICKSTART.read_text(encoding="utf-8")
    home = trial.resource.home
    program = home / "mine.py"
    program.write_text(
        text.replace("fork://localhost", trial.resource.service_url).replace(
            "redis://localhost:6379", trial.redis_url
        )
    )
    ended = trial.run(program)
    ended.check_clean()
    assert ended.stdout == OUTPUT
    written = sorted(path.read_text() for path in (home / "agent").rglob("stdout.txt"))
    assert written == [f"Hello World I am CU number {number}\n" for number in range(4)]


def test_the_agent_knows_the_job_that_it_runs_in(trial: Trial, probed: dict[str, Any]) -> None:
    from pilot import __version__

    details = probed["running"]
    assert (details["lrms"], details["agent_version"]) == (trial.way.lrms, __version__)
    assert details["nodes"] == [socket.gethostname()]
    assert details["cores"] == 1 < CORES
    job = re.fullmatch(trial.way.job, details["job"])
    assert job is not None
    record = trial.cluster.job(int(job[1]))
    assert record is not None
    assert f"pilot-{details['id']}".startswith(record.name)  # Torque and PBS Pro take 15 characters


def test_a_canceled_pilot_leaves_no_process(probed: dict[str, Any]) -> None:
    """The program's own check: nothing that has its home in its environment or command line outlived it."""
    assert probed["canceled"]["state"] == "Canceled"
    assert probed["alive"] == []


def test_a_pilot_without_python_fails_and_says_so(probed: dict[str, Any]) -> None:
    broken = probed["broken"]
    assert (broken["state"], broken["reason"]) == ("Failed", "start")
    assert "no Python" in broken["message"]
    assert "/no/such/python" in broken["message"]
