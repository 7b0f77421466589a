"""Time from the start of ``import pilot`` to the first unit Done, in fresh processes: server, agent and unit included.

python tools/bench/first_unit.py [--runs 10]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import sys, time
start = time.perf_counter()
import pilot
imported = time.perf_counter() - start
with pilot.PilotComputeService() as pilots, pilot.ComputeDataService() as service:
    pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 1, "working_directory": sys.argv[1]})
    service.add_pilot_compute_service(pilots)
    unit = service.submit_compute_unit({"executable": "/bin/true"})
    unit.wait()
    print(imported, time.perf_counter() - start, unit.state)
"""


def one_run(folder: str) -> tuple[float, float]:
    """Return seconds of the import and until the unit was Done."""
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder], check=True, capture_output=True, text=True
    )
    imported, done, state = output.stdout.split()
    if state != "Done":
        raise RuntimeError(f"the unit is {state}")
    return float(imported), float(done)


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        one_run(folder)
        runs = [one_run(folder) for _ in range(options.runs)]
    imported, done = zip(*runs, strict=True)
    print(f"import pilot: median {statistics.median(imported) * 1e3:.0f} ms")
    print(
        f"import to first unit Done: median {statistics.median(done):.2f} s, {min(done):.2f} to {max(done):.2f}"
    )


if __name__ == "__main__":
    main()
