"""MPI units of many shapes in whole pilots over emulated hosts: no core is used twice at any moment, and nothing is left."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from mpi_programs import OF_SYSTEM, find_mpi
from node_bench import NODES, PER_NODE, WAYS, NodeBench
from protocol_client import Request

UNITS = 60

HELD = """
cores=$(grep Cpus_allowed_list /proc/self/status | cut -f2 | tr '-' ' ' | tr ',' ' ')
for core in $cores; do mkdir "$LOG.$(uname -n).$core" || exit 9; done
echo "$PILOT_RANK $(uname -n) $cores"
sleep 0.0$((PILOT_RANK + 1))
for core in $cores; do rmdir "$LOG.$(uname -n).$core"; done
: exec.log
"""
"""Holds each core that its affinity mask names, by a folder that only one can make."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.skipif(PER_NODE < 2, reason="shapes need nodes of two cores"),
]


@pytest.fixture(params=OF_SYSTEM)
def family(request: pytest.FixtureRequest) -> str:
    found = find_mpi(request.param)
    if isinstance(found, str):
        pytest.skip(found)
    return found.family


def submit(bench: NodeBench, ranks: int, threads: int, script: str = HELD, **keys: Any) -> str:
    payload = {
        "executable": "/bin/sh",
        "arguments": ["-c", script],
        "environment": {"LOG": str(bench.log.path)},
        "expand_arguments": False,
        "spmd_variation": "mpi",
        "number_of_processes": ranks,
        "threads_per_process": threads,
        **keys,
    }
    (unit,) = bench.client.submit([payload], Request(cores=ranks * threads, block=threads))
    return unit


@pytest.mark.parametrize("way", WAYS)
def test_no_core_is_used_twice(bench: NodeBench, family: str, way: str) -> None:
    WAYS[way](bench, options={"mpi_launcher": family})
    bench.wait_for_nodes(*NODES)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    shapes = {}
    for _ in range(UNITS // len(WAYS) // len(OF_SYSTEM)):
        threads = chance.choice([1, 1, 2])
        ranks = chance.randint(1, len(NODES) * PER_NODE // threads)
        policy = chance.choice(["pack", "spread", "whole_nodes"])
        shapes[submit(bench, ranks, threads, placement=policy)] = (ranks, threads)
    bench.client.wait_for_ends(list(shapes), 300.0)
    for unit, (ranks, threads) in shapes.items():
        result = bench.client.result(unit)
        assert result.exit_code == 0, result
        lines = [line.split() for line in (result.stdout or "").splitlines()]
        assert sorted(int(rank) for rank, *_ in lines) == list(range(ranks)), result
        # `0 1` is the range 0-1.
        assert {len(cores) for _, _, *cores in lines} == {threads}, result
        assert set(result.node.split(",")) == {node for _, node, *_ in lines}, result
    bench.stop()
    assert bench.left() == {}


SLEEP = 'mkdir "$LOG.$PILOT_UNIT_ATTEMPT.$PILOT_RANK"; [ "$PILOT_UNIT_ATTEMPT" != 1 ] || exec sleep 605'
LAUNCHERS: dict[str, tuple[str, dict[str, str]]] = {
    "openmpi by ssh": ("ssh", {"mpi_launcher": "openmpi"}),
    "mpich by ssh": ("ssh", {"mpi_launcher": "mpich"}),
    "openmpi in slurm": ("slurm", {"mpi_launcher": "openmpi"}),
    "mpich in slurm": ("slurm", {"mpi_launcher": "mpich"}),
    "srun": ("slurm", {"mpi_launcher": "srun", "mpi_srun_type": "none"}),
}


@pytest.fixture(params=LAUNCHERS)
def sleeping(request: pytest.FixtureRequest, bench: NodeBench) -> str:
    """A unit with a rank on each node that sleeps, unless it is started again."""
    way, options = LAUNCHERS[request.param]
    found = find_mpi(options["mpi_launcher"]) if options["mpi_launcher"] in OF_SYSTEM else ""
    if isinstance(found, str) and found:
        pytest.skip(found)
    WAYS[way](bench, options=options)
    bench.wait_for_nodes(*NODES)
    unit = submit(bench, len(NODES), 1, SLEEP, placement="spread")
    bench.until(
        lambda: all(os.path.isdir(f"{bench.log.path}.1.{rank}") for rank in range(len(NODES))), "all ranks"
    )
    return unit


def sleepers(bench: NodeBench) -> list[str]:
    return [node for node in NODES if bench.running(node, "sleep 605")]


def test_a_canceled_unit_leaves_no_rank_on_any_node(bench: NodeBench, sleeping: str) -> None:
    bench.client.cancel([sleeping])
    bench.client.wait_for_ends([sleeping])
    assert sleepers(bench) == []


def test_no_rank_survives_the_agent(bench: NodeBench, sleeping: str) -> None:
    bench.kill(*bench.running("node1", "pilot_agent", "--config"), *bench.running("node1", "--head"))
    bench.until(lambda: not sleepers(bench), "the end of all ranks")


def test_a_unit_starts_again_when_a_node_has_lost_its_executor(bench: NodeBench, sleeping: str) -> None:
    bench.kill(bench.one("node2", "far_executor"))
    bench.client.wait_for_ends([sleeping])
    assert bench.client.letters([sleeping]) == ["D"]
    assert sleepers(bench) == []


def test_a_unit_starts_again_when_the_executor_of_its_launcher_is_lost(
    bench: NodeBench, sleeping: str
) -> None:
    executors = bench.running("node1", "pilot_agent.node.executor")
    bench.kill(*executors)
    bench.client.wait_for_ends([sleeping])
    assert bench.client.letters([sleeping]) == ["D"]
    assert sleepers(bench) == []


def test_a_rank_that_is_killed_fails_the_unit(bench: NodeBench, sleeping: str) -> None:
    bench.kill(*bench.running("node3", "sleep 605"))
    bench.client.wait_for_ends([sleeping])
    result = bench.client.result(sleeping)
    assert (result.exit_code, result.reason) == (137, "exit"), result
    assert sleepers(bench) == []
