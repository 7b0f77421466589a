"""Time from `create_pilot()` until the agent is registered, with and without the batch system's own delay.

Real clusters on this machine, as the integration tests start them. The delay of a batch system is the time from the return of
`create_pilot()`, when it has taken the job, to the first line of the job's setup.

python tools/bench/submission.py [--runs 5] [ssh slurm slurm+ssh sge …]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "integration"), str(ROOT / "integration" / "clusters")]

from pilot import PilotComputeService, State  # noqa: E402
from pilot.session import Session  # noqa: E402
from ports import free_port  # noqa: E402 - found by the line above
from real_redis import running_server  # noqa: E402
from resources import SYSTEMS, TestResource, running_resource  # noqa: E402


@dataclass(frozen=True)
class Timing:
    """One pilot, in seconds.

    Attributes:
        taken: Until `create_pilot()` returned.
        queued: From then to the first line of the job; 0 when that came first.
        registered: From the call to the agent's registration.
    """

    taken: float
    queued: float
    registered: float

    @property
    def ours(self) -> float:
        """What is not the batch system's."""
        return self.registered - self.queued


def one_pilot(pilots: PilotComputeService, resource: TestResource) -> Timing:
    """Create a pilot, wait until its agent is registered, and cancel it."""
    stamp = resource.home / f"stamp-{time.monotonic_ns()}"
    description = {
        "service_url": resource.service_url,
        "number_of_processes": 1,
        "walltime": 5,
        "working_directory": str(resource.home / "agent"),
        "setup": [f"date +%s.%N >{stamp}"],
    }
    called_s = time.time()
    pilot = pilots.create_pilot(description)
    taken_s = time.time()
    if pilot.wait(120, state="Running") is not State.Running:
        raise RuntimeError(f"the pilot is {pilot.state}: {pilot.details['message']}")
    registered_s = pilot.details["timestamps"]["Running"]
    pilot.cancel()
    queued_s = max(0.0, float(stamp.read_text()) - taken_s)
    return Timing(taken_s - called_s, queued_s, registered_s - called_s)


@contextmanager
def started(system: str) -> Iterator[tuple[PilotComputeService, TestResource]]:
    """Start a server, a cluster, and a service in a session of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_resource(system) as resource,
        running_server(Path(folder), free_port()) as url,
    ):
        os.environ.update(resource.variables)
        session = Session.create(url)
        try:
            with PilotComputeService(session=session) as pilots:
                yield pilots, resource
        finally:
            session.close()


def shown(name: str, timings: list[Timing]) -> str:
    """Return one line of the table: medians."""
    columns = [
        statistics.median(timing.taken for timing in timings),
        statistics.median(timing.queued for timing in timings),
        statistics.median(timing.registered for timing in timings),
        statistics.median(timing.ours for timing in timings),
    ]
    return f"{name:22}" + "".join(f"{column:14.2f}" for column in columns)


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, help="pilots after the first one")
    parser.add_argument("systems", nargs="*", default=SYSTEMS, help=f"of {', '.join(SYSTEMS)}")
    options = parser.parse_args()
    titles = ("taken [s]", "queued [s]", "registered [s]", "ours [s]")
    print(f"{'':22}" + "".join(f"{title:>14}" for title in titles))
    for system in options.systems:
        with started(system) as (pilots, resource):
            timings = [one_pilot(pilots, resource) for _ in range(1 + options.runs)]
        print(shown(f"{system}, first", timings[:1]))
        print(shown(f"{system}, following", timings[1:]))


if __name__ == "__main__":
    main()
