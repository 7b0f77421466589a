"""Whole-path throughput of /bin/true units, with the raw posix_spawn limit measured beside it in the same run.

    python tools/bench/throughput.py --units 10000 [--files] [--rounds 3]

Each round measures raw loops, then pilot, then raw loops again; a round's ratio is against the mean of its two. There
is one raw loop per core with two programs in flight each, which is the best that Python loops reach.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bench_stack
import process_cpu
import raw_spawn
from pilot import ComputeDataService, State


@dataclass(frozen=True)
class PilotRate:
    """What units through pilot reached."""

    units_per_s: float
    submit_s: float
    cpu_us_per_unit: dict[str, float]
    """By role; the units' own processes are not in it."""


def run_units(service: ComputeDataService, units: int, *, files: bool) -> tuple[float, float]:
    """Submit units, wait for them; returns seconds of the submission and of the whole."""
    description: dict[str, object] = {"executable": raw_spawn.PROGRAM}
    if files:
        description |= {"output": "stdout", "error": "stderr"}
    start = time.perf_counter()
    handles = service.submit_compute_units(description for _ in range(units))
    submitted = time.perf_counter() - start
    service.wait()
    elapsed = time.perf_counter() - start
    failed = [unit.id for unit in handles if unit.state != State.Done]
    if failed:
        raise RuntimeError(f"{len(failed)} units did not end Done, for instance {failed[0]}")
    return submitted, elapsed


def measure_pilot(units: int, cores: int, *, files: bool) -> PilotRate:
    """Start a server and a pilot, warm it up, and run ``units``."""
    with bench_stack.started(cores) as stack:
        run_units(stack.service, 20 * cores, files=files)
        before = process_cpu.cpu_by_role(os.getpid(), stack.server_pid)
        submitted, elapsed = run_units(stack.service, units, files=files)
        after = process_cpu.cpu_by_role(os.getpid(), stack.server_pid)
    cpu = {role: (after[role] - before.get(role, 0.0)) / units * 1e6 for role in after}
    return PilotRate(units / elapsed, submitted, cpu)


def main() -> None:
    """Print one line per round and the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", action="store_true", help="each unit names its output and error files")
    options = parser.parse_args()
    ratios = []
    for number in range(1, options.rounds + 1):
        first = raw_spawn.measure(options.units, options.cores, files=options.files)
        reached = measure_pilot(options.units, options.cores, files=options.files)
        second = raw_spawn.measure(options.units, options.cores, files=options.files)
        limit = (first.units_per_s + second.units_per_s) / 2
        ratios.append(reached.units_per_s / limit)
        cpu = ", ".join(f"{role} {value:.0f}" for role, value in sorted(reached.cpu_us_per_unit.items()))
        print(
            f"round {number}: raw {first.units_per_s:.0f} and {second.units_per_s:.0f} units/s "
            f"({first.cpu_us_per_unit:.0f} us CPU each), pilot {reached.units_per_s:.0f} units/s, "
            f"ratio {ratios[-1]:.2f}; submitted in {reached.submit_s:.2f} s; CPU us per unit: {cpu}",
            flush=True,
        )
    print(
        f"median ratio {statistics.median(ratios):.2f} of {options.rounds} rounds, {options.units} units each"
    )


if __name__ == "__main__":
    main()
