"""Reconnecting to a compute unit: another process, given nothing but the unit's URL, waits for it and reads its output."""

from __future__ import annotations

import subprocess
import sys

from pilot import ComputeDataService, ComputeUnit, PilotComputeService


def start() -> None:
    """Submit a unit, and let another process wait for it."""
    with PilotComputeService() as pilots, ComputeDataService() as work:
        pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 1, "walltime": 10})
        work.add_pilot_compute_service(pilots)
        unit = work.submit_compute_unit(
            {"executable": "/bin/sh", "arguments": ["-c", "sleep 0.5; echo computed"], "name": "slow one"}
        )
        subprocess.run([sys.executable, __file__, unit.url], check=True)


def reconnect(url: str) -> None:
    """Wait for a unit that somebody else submitted."""
    unit = ComputeUnit(cu_url=url)
    unit.wait()
    print(f"{unit.details['description']['name']}: {unit.state}, it {unit.stdout().strip()}")


if __name__ == "__main__":
    reconnect(sys.argv[1]) if len(sys.argv) > 1 else start()
