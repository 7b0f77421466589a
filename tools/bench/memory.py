"""Memory of many submitted units: what the client and Redis take for each, before any of them runs.

    python tools/bench/memory.py [--units 1000000]

A sweep: one executable, one argument that differs. No pilot takes them.
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

import process_cpu
from pilot import ComputeDataService, PilotComputeService
from pilot.embedded_redis import EmbeddedRedis


def main() -> None:
    """Submit, then print bytes per unit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=1_000_000)
    options = parser.parse_args()
    with (
        EmbeddedRedis.start() as server,
        PilotComputeService(server.url) as pilots,
        ComputeDataService() as service,
    ):
        service.add_pilot_compute_service(pilots)
        link: Any = redis.Redis.from_url(server.url)
        service.submit_compute_units({"executable": "/bin/true"} for _ in range(1000))
        client_kb, redis_bytes = process_cpu.resident_kb(os.getpid()), link.info("memory")["used_memory"]
        start = time.perf_counter()
        handles = service.submit_compute_units(
            {"executable": "/bin/echo", "arguments": [str(number)]} for number in range(options.units)
        )
        elapsed = time.perf_counter() - start
        client = (process_cpu.resident_kb(os.getpid()) - client_kb) * 1024 / len(handles)
        stored = (link.info("memory")["used_memory"] - redis_bytes) / len(handles)
        print(
            f"{len(handles)} units submitted in {elapsed:.1f} s, {elapsed / len(handles) * 1e6:.0f} us each"
        )
        print(f"client {client:.0f} bytes per unit, Redis {stored:.0f} bytes per unit")


if __name__ == "__main__":
    main()
