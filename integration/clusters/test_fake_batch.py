"""The stand-ins for batch systems themselves: that they say what they are, run jobs, and leave nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fake_batch
from fake_batch.cluster import ENDED, QUEUED, RUNNING, Record
from fake_batch.runner import session
from fake_batch.systems import SYSTEMS
from stand_in_jobs import SUBMIT, Cluster, say, submit
from until import until

CANCEL = {
    "torque": "qdel 1.head",
    "pbspro": "qdel 1.head",
    "lsf": "bkill 1",
    "loadl": "llcancel head.1",
    "cobalt": "qdel 1",
    "condor": "condor_rm 1",
}
VERSION = {"lsf": "-V", "loadl": "-v"}
JOB_ID = {
    "torque": "PBS_JOBID=1.head",
    "pbspro": "PBS_JOBID=1.head",
    "lsf": "LSB_JOBID=1",
    "loadl": "LOADL_JOB_NAME=head.1",
    "cobalt": "COBALT_JOBID=1",
    "condor": "_CONDOR_SLOT=slot1_1",
}


@pytest.fixture(params=sorted(SYSTEMS))
def system(request: pytest.FixtureRequest) -> str:
    """A batch system."""
    name: str = request.param
    return name


@pytest.fixture
def cluster(system: str) -> Iterator[Cluster]:
    """A cluster that stands in for one."""
    with fake_batch.start(system, grace_s=0.2) as made:
        yield made


def record(cluster: Cluster, number: int = 1) -> Record:
    """Return a job."""
    found = cluster.cluster.job(number)
    assert found is not None
    return found


def test_a_stand_in_says_so(cluster: Cluster, system: str, tmp_path: Path) -> None:
    tool = SYSTEMS[system].commands[1]
    done = say(cluster, f"{tool} {VERSION.get(system, '--version')}", tmp_path)
    assert "stand-in" in done.stdout
    assert done.returncode == 0


def test_a_job_runs_with_what_the_batch_system_gives_it(
    cluster: Cluster, system: str, tmp_path: Path
) -> None:
    submit(cluster, system, tmp_path, "env; exit 3", cores=2)
    until(lambda: record(cluster).state == ENDED)
    assert (record(cluster).code, record(cluster).cores) == (3, 2)
    variables = (tmp_path / "out").read_text().splitlines()
    assert JOB_ID[system] in variables
    assert ("SECRET=kept" in variables) == (system == "lsf")  # which sends the submitter's environment along


def test_jobs_wait_for_cores(cluster: Cluster, system: str, tmp_path: Path) -> None:
    submit(cluster, system, tmp_path, "sleep 1000", cores=2)
    submit(cluster, system, tmp_path / "second", "exit 0")
    assert (record(cluster, 1).state, record(cluster, 2).state) == (RUNNING, QUEUED)
    say(cluster, CANCEL[system], tmp_path)
    until(lambda: record(cluster, 2).state == ENDED)
    assert record(cluster, 1).reason == "cancelled"


def test_servers_that_are_down_take_nothing(cluster: Cluster, system: str, tmp_path: Path) -> None:
    submit(cluster, system, tmp_path, "exit 0")
    with cluster.silent():
        assert say(cluster, SUBMIT[system][0], tmp_path).returncode != 0
        assert say(cluster, CANCEL[system], tmp_path).returncode != 0
    assert len(cluster.cluster.jobs()) == 1


def test_who_ignores_signals_is_killed(cluster: Cluster, system: str, tmp_path: Path) -> None:
    submit(cluster, system, tmp_path, "trap '' TERM INT; echo ready; while :; do sleep 1000; done")
    until(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text() == "ready\n")
    say(cluster, CANCEL[system], tmp_path)
    until(lambda: record(cluster).state == ENDED)
    assert record(cluster).signal == 9


def test_nothing_is_left_when_a_cluster_is_gone(system: str, tmp_path: Path) -> None:
    with fake_batch.start(system) as cluster:
        submit(cluster, system, tmp_path, "trap '' TERM; sleep 1000")
        until(lambda: record(cluster).pid != 0)
        pid, folder = record(cluster).pid, cluster.cluster.folder
    assert not folder.exists()
    until(lambda: not any(map(_runs, session(pid))))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
