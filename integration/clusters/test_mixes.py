"""Random mixes of single units and MPI units of any shape on four emulated nodes: no core is used twice at any moment."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator

import pytest

from mixes import compile_program, run_mix, used_twice
from netns_cluster import running_cluster
from node_bench import CORES, NodeBench, node_bench, server_on_head

NODES = ("node1", "node2", "node3", "node4")
PER_NODE = min(len(os.sched_getaffinity(0)), CORES)
MIXES = 5

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def bench() -> Iterator[NodeBench]:
    if shutil.which("mpirun") is None or shutil.which("gcc") is None:
        pytest.skip("no server: neither an MPI (openmpi-bin) nor a compiler (gcc) may be missing")
    with running_cluster(len(NODES)) as cluster, server_on_head(cluster), node_bench(cluster, NODES) as bench:
        bench.start_by_ssh()
        bench.wait_for_nodes(*NODES)
        yield bench


@pytest.mark.parametrize("seed", range(MIXES))
def test_no_core_is_used_twice(bench: NodeBench, seed: int) -> None:
    program = compile_program(bench.folder)
    outcome = run_mix(bench, program, random.Random(seed), len(NODES), PER_NODE)
    assert used_twice(outcome.runs) == []
    print(f"mix {seed}: {outcome.real_s:.2f} s, at best {outcome.ideal_s:.2f} s")
