"""What agents find out in the jobs of the stand-ins: the job, its nodes and cores, its end, where it was submitted."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fake_batch
import pilot_agent
from fake_batch.cluster import ENDED
from stand_in_jobs import submit
from until import until

CORES = 3
WALLTIME_S = 3600  # where nothing is asked for
ROOT = Path(pilot_agent.__file__).parents[1]
PROBE = f"""
import json, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pilot_agent.lrms.detect import find_allocation
found = find_allocation(time.time())
nodes = [[share.name, share.cores] for share in found.nodes]
print(json.dumps([found.system, found.job, nodes, found.submit_host, found.restarts, found.end_s]))
"""

FOUND = {
    "torque": ["pbs", "1.head", [["head", CORES]], "head", 0],
    "pbspro": ["pbs", "1.head", [["head", CORES]], "head", 0],
    "lsf": ["lsf", "1", [["head", CORES]], "head", 0],
    "condor": ["condor", "1.0", [["head", CORES]], "head", 0],
    "loadl": ["loadl", "head.1.0", [["head", CORES]], "head", 0],
    "cobalt": ["cobalt", "1", [[f"head-{node}", 0] for node in range(CORES)], "", 0],  # whole nodes
}
ENDLESS = {"condor"}  # which limits nothing but what the job's description does
KNOWS_BY_ITSELF = {"torque"}  # its environment has the walltime


def told_in_a_job(system: str, folder: Path, before: str = "") -> list[Any]:
    """Return what the agent's readers find in a job, after a line of shell."""
    program = folder / "probe.py"
    program.write_text(PROBE)
    with fake_batch.start(system, cores=CORES) as cluster:
        submit(cluster, system, folder, f"{before}\nexec {sys.executable} -I {program} 2>{folder}/err", CORES)
        until(lambda: [job.state for job in cluster.cluster.jobs()] == [ENDED])
    output = (folder / "out").read_text()
    assert output, (folder / "err").read_text()
    told: list[Any] = json.loads(output)
    return told


@pytest.mark.parametrize("system", FOUND)
def test_agents_find_their_job_and_its_end(system: str, tmp_path: Path) -> None:
    begun = time.time()
    *facts, end_s = told_in_a_job(system, tmp_path)
    assert facts == FOUND[system]
    if system in ENDLESS:
        assert end_s is None
    else:  # LSF tells minutes
        assert begun + WALLTIME_S - 61 <= end_s <= time.time() + WALLTIME_S + 1


@pytest.mark.parametrize("system", FOUND)
def test_agents_find_nodes_and_cores_without_asking_anybody(system: str, tmp_path: Path) -> None:
    *facts, end_s = told_in_a_job(system, tmp_path, before="PATH=/nonexistent")
    assert facts == FOUND[system]
    assert (end_s is None) == (system not in KNOWS_BY_ITSELF)


def test_the_processes_of_a_chunk_are_not_counted_twice(tmp_path: Path) -> None:
    """PBS Pro lists a node for each process that MPI would start; radical.saga asks for one on each core."""
    probe = f"#PBS -l select=1:ncpus={CORES}:mpiprocs={CORES}\nPATH=/nonexistent"
    assert told_in_a_job("pbspro", tmp_path, before=probe)[2] == [["head", CORES]]
