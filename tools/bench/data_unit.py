"""What a data unit of very many small files costs: `python tools/bench/data_unit.py [--files N] [--folder DIR]`.

Files of 100 bytes in a hundred folders go to one Pilot-Data, from there to another, and are exported, all in folders below one.
Beside it, the limit: `cp -r` of the same files. Told are seconds, and the largest memory of the process. With
PILOT_COORDINATION_URL the catalogue is in Redis.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pilot_data import DataUnit, PilotDataService, State

CONTENT = b"x" * 100
FOLDERS = 100


def main() -> None:
    """Measure, and print a table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--files", type=int, default=100_000, help="how many files")
    asked.add_argument("--folder", help="where everything happens; by default a temporary folder")
    options = asked.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        root = Path(made)
        write_files(root / "files", options.files)
        print(f"{options.files} files of {len(CONTENT)} bytes, seconds")
        told("cp -r", lambda: subprocess.run(["cp", "-r", root / "files", root / "copy"], check=True))
        with PilotDataService() as service:
            measure(service, root)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"largest memory: {peak_mib:.0f} MiB")


def write_files(folder: Path, count: int) -> None:
    """Write the files."""
    for number in range(FOLDERS):
        (folder / str(number)).mkdir(parents=True)
    for number in range(count):
        (folder / str(number % FOLDERS) / f"{number}.dat").write_bytes(CONTENT)


def measure(service: PilotDataService, root: Path) -> None:
    """Measure what happens to one data unit."""
    first, second = (
        service.create_pilot({"service_url": f"file://{root}/{name}"}) for name in ("one", "two")
    )
    units: list[DataUnit] = []
    told("submit", lambda: units.append(first.submit_data_unit({"file_urls": [f"{root}/files/"]})))
    (unit,) = units
    told("staged and verified", lambda: settled(unit))
    unit.add_pilot_data(second)
    told("second replica", lambda: settled(unit))
    told("list", unit.list)
    told("export", lambda: unit.export(str(root / "out")))
    told("export again, nothing changed", lambda: unit.export(str(root / "out")))
    told("cancel", unit.cancel)


def settled(unit: DataUnit) -> None:
    """Wait until no file moves any more."""
    unit.wait()
    if unit.state is not State.Running:
        raise SystemExit(f"the data unit is {unit.state}: {unit.details['reason']}")


def told(name: str, action: Callable[[], object]) -> None:
    """Do something, and print how long it took."""
    began_s = time.perf_counter()
    action()
    print(f"  {name:<32}{time.perf_counter() - began_s:8.2f}", flush=True)


if __name__ == "__main__":
    main()
