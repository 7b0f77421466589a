"""Units that follow their data, against units that have every input shipped to them, at two sites far from each other.

    python tools/bench/data_affinity.py [--units 12] [--own-mb 8] [--common-mb 4] [--rounds 3]

Half of the units read a data unit at one site, half one at the other; all read a common one at the first site. The optimum is to
move the common one to the second site, once. "Shipped" are the same files by `file_transfer`, to wherever the unit runs. The
sites are hosts of the emulated cluster (needs root); the only way between them is a relay of 40 ms and 10 MB/s, which counts
the bytes, those of SSH and of Redis included. This program is at the first site. Rounds take turns.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "integration"))
sys.path.insert(0, str(Path(__file__).parents[2] / "integration" / "clusters"))

from pilot import ComputeDataService, DataUnit, PilotComputeService, PilotData, PilotDataService, State
from two_sites import SITES, TwoSites, two_sites


@dataclass(frozen=True)
class Figure:
    """How a round went."""

    seconds: float
    megabytes: float
    """That passed the link."""
    placements: Counter[str]


@dataclass(frozen=True)
class Bench:
    """What units are submitted to, and the data that there are."""

    work: ComputeDataService
    stores: dict[str, PilotData]
    common: DataUnit
    own: list[tuple[str, DataUnit]]
    """One per unit, with the site that it is at."""


@contextmanager
def started(sites: TwoSites, units: int, own_mb: int, common_mb: int) -> Iterator[Bench]:
    """Start a pilot and a store at each site, and put the data there."""
    with (
        tempfile.TemporaryDirectory() as folder,
        PilotComputeService() as pilots,
        PilotDataService() as services,
        ComputeDataService() as work,
    ):
        running = [pilots.create_pilot(sites.pilot_description(site, units)) for site in SITES]
        stores = {site: services.create_pilot(sites.store_description(site)) for site in SITES}
        work.add_pilot_compute_service(pilots)
        work.add_pilot_data_service(services)
        own = []
        for number in range(units):
            site = SITES[number % len(SITES)]
            path = _random_file(Path(folder) / f"own-{number}", own_mb)
            own.append((site, stores[site].submit_data_unit({"file_urls": [str(path)]})))
        path = _random_file(Path(folder) / "common", common_mb)
        common = stores[SITES[0]].submit_data_unit({"file_urls": [str(path)]})
        services.wait()
        for pilot in running:
            if pilot.wait(60, State.Running) is not State.Running:
                raise RuntimeError(f"pilot {pilot.id} is {pilot.state}: {pilot.details['message']}")
        yield Bench(work, stores, common, own)


def _random_file(path: Path, megabytes: int) -> Path:
    path.write_bytes(secrets.token_bytes(megabytes * 1_000_000))
    return path


def placed(bench: Bench) -> list[dict[str, object]]:
    """Describe units that name their data."""
    return [
        {
            "executable": "/usr/bin/sha256sum",
            "arguments": [f"own-{number}", "common"],
            "input_data": [data_unit, bench.common],
        }
        for number, (_, data_unit) in enumerate(bench.own)
    ]


def shipped(bench: Bench) -> list[dict[str, object]]:
    """Describe units to which the same files are shipped, wherever they run."""
    common = bench.stores[SITES[0]].url_for_du(bench.common)
    return [
        {
            "executable": "/usr/bin/sha256sum",
            "arguments": [f"own-{number}", "common"],
            "file_transfer": [
                f"{bench.stores[site].url_for_du(data_unit)}/own-{number} > own-{number}",
                f"{common}/common > common",
            ],
        }
        for number, (site, data_unit) in enumerate(bench.own)
    ]


def measure(sites: TwoSites, bench: Bench, descriptions: list[dict[str, object]]) -> Figure:
    """Run units, and return what it took."""
    before, start = sites.bytes_between(), time.perf_counter()
    units = bench.work.submit_compute_units(descriptions)
    for unit in units:
        unit.result()
    seconds = time.perf_counter() - start
    kinds = Counter((unit.details["placement"] or {"kind": "none"})["kind"] for unit in units)
    return Figure(seconds, (sites.bytes_between() - before) / 1e6, kinds)


def show(name: str, figures: list[Figure]) -> None:
    """Print the figures of all rounds."""
    seconds = ", ".join(f"{figure.seconds:.1f}" for figure in figures)
    megabytes = ", ".join(f"{figure.megabytes:.1f}" for figure in figures)
    kinds = sum((figure.placements for figure in figures), Counter[str]())
    print(f"{name}: {seconds} s; {megabytes} MB through the link; placements: {dict(kinds)}", flush=True)


def main() -> None:
    """Print the figures of both ways, and how they compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=12)
    parser.add_argument("--own-mb", type=int, default=8)
    parser.add_argument("--common-mb", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    figures: dict[str, list[Figure]] = {"placed": [], "shipped": []}
    with tempfile.TemporaryDirectory() as home, two_sites(Path(home)) as sites:
        os.environ.update(sites.variables)
        for name, describe in [("placed", placed), ("shipped", shipped)] * options.rounds:
            with started(sites, options.units, options.own_mb, options.common_mb) as bench:
                figures[name].append(measure(sites, bench, describe(bench)))
    print(f"optimum: {options.common_mb} MB")
    for name, of_name in figures.items():
        show(name, of_name)
    ratios = [far.seconds / near.seconds for near, far in zip(*figures.values(), strict=True)]
    print(f"shipped / placed: {statistics.median(ratios):.1f} times as long")


if __name__ == "__main__":
    main()
