"""What an idle agent and client use: CPU, and the commands that Redis gets, over some heartbeats.

python tools/bench/idle.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import redis

import bench_stack
import process_cpu


def commands(link: Any) -> dict[str, int]:
    """Return how often each command was called."""
    stats = link.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(entry["calls"]) for name, entry in stats.items()}


def main() -> None:
    """Measure an idle stack."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with bench_stack.started(2) as stack:
        stack.service.submit_compute_unit({"executable": "/bin/true"}).wait()
        link = redis.Redis.from_url(stack.server.url)
        before, called = process_cpu.cpu_by_role(os.getpid(), stack.server_pid), commands(link)
        time.sleep(options.seconds)
        after, calls = process_cpu.cpu_by_role(os.getpid(), stack.server_pid), commands(link)
    for role, seconds in sorted(after.items()):
        print(f"{role}: {(seconds - before[role]) / options.seconds * 100:.2f} % of a core")
    sent = {
        name: number - called.get(name, 0) for name, number in calls.items() if number > called.get(name, 0)
    }
    print(f"commands in {options.seconds:g} s (those of scripts and of this measurement included): {sent}")


if __name__ == "__main__":
    main()
