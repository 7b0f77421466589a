"""Release delay in a graph of units while no client runs: from the end of a unit's last predecessor to its own start.

    python tools/bench/graph.py [--layers 100] [--width 100] [--cores 100]

A program submits the graph and is gone at once. Each unit waits for three of the layer before, and sleeps between half a
second and one and a half: so that there is always a core for it, and starting programs is not what it waits for. The raw
figure is the same for a bare loop that starts a program by `posix_spawn` whenever one ends, as many at a time.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parent))

import redis

from pilot import ComputeDataService, PilotComputeService
from pilot.embedded_redis import EmbeddedRedis
from pilot_protocol.keys import Keys
from pilot_session import coordination_url

PREDECESSORS = 3
LEAST_S, MOST_S = 0.5, 1.5


def submit(url: str, folder: str, layers: int, width: int, cores: int) -> None:
    """Start a pilot, submit the graph, print the URL of its service."""
    warnings.simplefilter("ignore")  # that the units share cores is as it should be: they sleep
    pilots = PilotComputeService(url)
    pilots.create_pilot(
        {
            "service_url": "fork://localhost",
            "number_of_processes": cores,
            "working_directory": folder,
            "walltime": 60,
        }
    )
    service = ComputeDataService(url)
    service.add_pilot_compute_service(pilots)
    chance = random.Random(7)  # noqa: S311 - no secret
    before: list[str] = []
    for _ in range(layers):
        layer = service.submit_compute_units(
            {
                "executable": "/bin/sleep",
                "arguments": [f"{chance.uniform(LEAST_S, MOST_S):.3f}"],
                "depends_on": [before[(place + step) % width] for step in range(PREDECESSORS)]
                if before
                else [],
            }
            for place in range(width)
        )
        before = [unit.id for unit in layer]
    print(service.url, flush=True)


def await_end(url: str, service_url: str, units: int) -> float:
    """Look at the counters, as no client does, until all units have ended; return how long that took, in seconds."""
    start = time.perf_counter()
    server = redis.Redis.from_url(url)
    counts = Keys(coordination_url.parse_object_url(service_url).session).named("counts")
    while _ended(cast("dict[bytes, bytes]", server.hgetall(counts))) < units:
        time.sleep(1)
    return time.perf_counter() - start


def _ended(counts: dict[bytes, bytes]) -> int:
    return sum(int(number) for name, number in counts.items() if name[-1:] in b"DFC")


def delays_ms(service: ComputeDataService, width: int) -> list[float]:
    """Return, for each unit with predecessors, how long after the last of them it started."""
    units = [unit.details for unit in service.list_compute_units()]
    bad = [details for details in units if details["state"] != "Done"]
    if bad:
        raise RuntimeError(f"{len(bad)} units are not Done, like {bad[0]['id']}: {bad[0]['reason']}")
    return [
        (details["started"] - max(units[place]["ended"] for place in predecessors(number, width))) * 1e3
        for number, details in enumerate(units[width:], width)
    ]


def predecessors(number: int, width: int) -> list[int]:
    """Return the places, in order of submission, of what a unit beyond the first layer waits for."""
    first = (number // width - 1) * width
    return [first + (number + step) % width for step in range(PREDECESSORS)]


def raw_delays_ms(count: int, width: int) -> list[float]:
    """Return how late programs begin that are started when others end, with as many at a time."""
    chance = random.Random(7)  # noqa: S311 - no secret
    running: dict[int, None] = {}
    found = []
    for number in range(count + width):
        ended = time.monotonic()
        if number >= width:
            pid, _ = os.waitpid(-1, 0)
            ended = time.monotonic()
            del running[pid]
        if number < count:
            argv = ["/bin/sleep", f"{chance.uniform(LEAST_S, MOST_S):.3f}"]
            running[os.posix_spawn(argv[0], argv, {})] = None
            found.append((time.monotonic() - ended) * 1e3)
    return found


def describe(name: str, values: list[float]) -> str:
    """Return median, 90th and 99th percentile as one line."""
    cuts = statistics.quantiles(values, n=100)
    return f"{name}: median {cuts[49]:.1f} ms, p90 {cuts[89]:.1f}, p99 {cuts[98]:.1f}, most {max(values):.0f}"


def main() -> None:
    """Run the graph and print the delays."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=100)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--cores", type=int, default=100)
    parser.add_argument("--submit", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = (options.layers, options.width, options.cores)
    if options.submit:
        url, folder = options.submit
        submit(url, folder, *shape)
        os._exit(0)  # gone at once: nothing is canceled, nobody says goodbye
    server = EmbeddedRedis.start()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        words = [f"--{name}={value}" for name, value in zip(("layers", "width", "cores"), shape, strict=True)]
        command = [sys.executable, __file__, "--submit", server.url, folder, *words]
        service_url = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        took_s = await_end(server.url, service_url, options.layers * options.width)
        service = ComputeDataService(cds_url=service_url)
        delays = delays_ms(service, options.width)
        for pilot in service.list_pilot_compute():
            pilot.cancel()
    print(
        f"{options.layers * options.width} units in {options.layers} layers, {took_s:.0f} s without a client"
    )
    print(describe("last predecessor's end to start", delays))
    print(describe("raw: reaped to spawned         ", raw_delays_ms(1000, options.cores)))


if __name__ == "__main__":
    main()
