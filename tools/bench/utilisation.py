"""Random mixes of single units and MPI units on four emulated nodes: `python tools/bench/utilisation.py [--mixes 200] [--seed 0]`.

Each rank writes down host, affinity mask, start and end. Prints for how many mixes a core was used twice at any moment, and how
the time that they took compares with the time that the same units, as long as they ran, need if nothing but the cores makes them
wait. The nodes share this machine's processors; each counts two cores. Needs root, Open MPI's mpirun and gcc.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "integration"))
sys.path.insert(0, str(Path(__file__).parents[2] / "integration" / "faults"))
sys.path.insert(0, str(Path(__file__).parents[2] / "integration" / "clusters"))

from mixes import compile_program, run_mix, used_twice
from netns_cluster import running_cluster
from node_bench import CORES, node_bench, server_on_head

NODES = ("node1", "node2", "node3", "node4")


def main() -> None:
    """Run the mixes and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes = []
    with running_cluster(len(NODES)) as cluster, server_on_head(cluster), node_bench(cluster, NODES) as bench:
        bench.start_by_ssh()
        bench.wait_for_nodes(*NODES)
        program = compile_program(bench.folder)
        for number in range(options.mixes):
            chance = random.Random(options.seed + number)  # noqa: S311 - to be had again
            outcome = run_mix(bench, program, chance, len(NODES), CORES)
            outcomes.append(outcome)
            print(f"mix {number}: {outcome.real_s:.2f} s, at best {outcome.ideal_s:.2f} s", flush=True)
    twice = sum(bool(used_twice(outcome.runs)) for outcome in outcomes)
    ratios = [outcome.ideal_s / outcome.real_s for outcome in outcomes]
    total = sum(outcome.ideal_s for outcome in outcomes) / sum(outcome.real_s for outcome in outcomes)
    ranks = sum(len(outcome.runs) for outcome in outcomes)
    print(
        f"{len(outcomes)} mixes, {ranks} ranks: a core used twice in {twice}; of what the mix allows: in all {total:.3f}, "
        f"median {statistics.median(ratios):.3f}, least {min(ratios):.3f}"
    )


if __name__ == "__main__":
    main()
