"""Throughput of /bin/true units on several nodes, against one node with as many cores, on the same hardware.

    python tools/bench/nodes.py --units 10000 [--nodes 4] [--rounds 3]

The nodes are those of the emulated cluster, which all share this machine's processors; each counts two cores. The pilot of one
node has as many cores as the others together. Needs root, as the cluster does. Rounds take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "integration"))
sys.path.insert(0, str(Path(__file__).parents[2] / "integration" / "faults"))
sys.path.insert(0, str(Path(__file__).parents[2] / "integration" / "clusters"))

from netns_cluster import NetnsCluster, running_cluster
from node_bench import CORES, NodeBench, node_bench, server_on_head

LIMIT_S = 300.0


def measure(cluster: NetnsCluster, nodes: list[str], units: int, **settings: object) -> float:
    """Start a pilot, warm it up, and return the units per second from submission to the last end."""
    with node_bench(cluster, nodes) as bench:
        bench.start_by_ssh(**settings)
        bench.wait_for_nodes(*nodes)
        _run(bench, 1000)
        began_s = time.perf_counter()
        _run(bench, units)
        elapsed_s = time.perf_counter() - began_s
        bench.stop()
        if left := bench.left():
            raise RuntimeError(f"processes are left: {left}")
    return units / elapsed_s


def _run(bench: NodeBench, units: int) -> None:
    ids = bench.client.submit([{"executable": "/bin/true"}] * units)
    bench.client.wait_for_ends(ids, LIMIT_S)
    failed = [letter for letter in bench.client.letters(ids) if letter != "D"]
    if failed:
        raise RuntimeError(f"{len(failed)} units did not end Done")


def main() -> None:
    """Print one line per round and the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    several, one, ratios = [], [], []
    with running_cluster(options.nodes) as cluster, server_on_head(cluster):
        names = [name for name in cluster.hosts if name != "head"]
        for number in range(1, options.rounds + 1):
            one.append(measure(cluster, names[:1], options.units, lrms="local", cores=CORES * len(names)))
            several.append(measure(cluster, names, options.units))
            ratios.append(several[-1] / one[-1])
            print(
                f"round {number}: one node {one[-1]:.0f} units/s, {len(names)} nodes {several[-1]:.0f} units/s, "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(
        f"median: one node {statistics.median(one):.0f} units/s, {len(names)} nodes "
        f"{statistics.median(several):.0f} units/s, ratio {statistics.median(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
