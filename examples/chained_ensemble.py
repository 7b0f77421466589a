"""A chained ensemble: each B reads what its A wrote, and starts when that A is Done, whatever the others do.

Shows it twice. With `depends_on` everything is submitted at once, and the dependencies are followed without this
program. The older way is to wait for each A and to submit its B then.
"""

from __future__ import annotations

import tempfile
from typing import Any

from pilot import ComputeDataService, PilotComputeService

CHAINS = 4


def first(chain: int, folder: str) -> dict[str, Any]:
    """Describe an A: it writes ten lines more than the one before."""
    last = 10 * (chain + 1)
    return {"executable": "seq", "arguments": ["1", str(last)], "output": f"{folder}/a-{chain}.txt"}


def second(chain: int, folder: str) -> dict[str, Any]:
    """Describe a B: it counts the lines of its A."""
    return {"executable": "wc", "arguments": ["-l"], "input": f"{folder}/a-{chain}.txt"}


def chain_with_dependencies(work: ComputeDataService, folder: str) -> list[str]:
    seconds = []
    for chain in range(CHAINS):
        a = work.submit_compute_unit(first(chain, folder))
        seconds.append(work.submit_compute_unit({**second(chain, folder), "depends_on": [a]}))
    return [b.result().stdout().strip() for b in seconds]


def chain_by_hand(work: ComputeDataService, folder: str) -> list[str]:
    chain_of = {work.submit_compute_unit(first(chain, folder)): chain for chain in range(CHAINS)}
    seconds = {}
    for a in work.as_completed(chain_of):
        a.result()  # raises when A failed: its B would have nothing to read
        chain = chain_of[a]
        seconds[chain] = work.submit_compute_unit(second(chain, folder))
    return [seconds[chain].result().stdout().strip() for chain in range(CHAINS)]


def main() -> None:
    with PilotComputeService() as pilots, ComputeDataService() as work:
        pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 2, "walltime": 10})
        work.add_pilot_compute_service(pilots)
        for way in (chain_with_dependencies, chain_by_hand):
            with tempfile.TemporaryDirectory() as folder:
                print(f"{way.__name__}: lines counted: {' '.join(way(work, folder))}")


if __name__ == "__main__":
    main()
