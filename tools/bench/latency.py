"""Latency of one /bin/true unit on an idle pilot: from submit to Done as the client sees it.

    python tools/bench/latency.py [--units 300]

The raw posix_spawn and wait of the same program, in the same process, is measured in turn with it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bench_stack
import raw_spawn
from pilot import ComputeDataService, State


def one_unit(service: ComputeDataService) -> float:
    """Submit one unit, wait for it, and return milliseconds."""
    start = time.perf_counter()
    unit = service.submit_compute_unit({"executable": raw_spawn.PROGRAM})
    unit.wait()
    elapsed = time.perf_counter() - start
    if unit.state != State.Done:
        raise RuntimeError(f"{unit.id} is {unit.state}")
    return elapsed * 1e3


def one_raw() -> float:
    """Start the program, wait for it, and return milliseconds."""
    start = time.perf_counter()
    os.waitpid(raw_spawn.spawn_plain(), 0)
    return (time.perf_counter() - start) * 1e3


def describe(name: str, values: list[float]) -> str:
    """Return median, 10th and 90th percentile as one line."""
    cuts = statistics.quantiles(values, n=10)
    return f"{name}: median {statistics.median(values):.2f} ms, p10 {cuts[0]:.2f}, p90 {cuts[-1]:.2f}"


def main() -> None:
    """Print both distributions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=300)
    options = parser.parse_args()
    with bench_stack.started(1) as stack:
        for _ in range(20):
            one_unit(stack.service)
        pairs = [(one_unit(stack.service), one_raw()) for _ in range(options.units)]
    print(describe("unit through pilot, submit to Done", [unit for unit, _ in pairs]))
    print(describe("raw posix_spawn to reaped         ", [raw for _, raw in pairs]))


if __name__ == "__main__":
    main()
