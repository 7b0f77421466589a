"""Files as a data unit: kept at two places, listed, exported, and read again to see that they are the same."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from pilot import PilotDataService


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, PilotDataService() as service:
        work = Path(folder)
        make_files(work / "results")
        first = service.create_pilot({"service_url": f"file://{work}/first", "size": 100})
        second = service.create_pilot({"service_url": f"file://{work}/second"})

        data_unit = first.submit_data_unit({"file_urls": [f"{work}/results"], "number_of_replicas": 2})
        data_unit.wait()
        assert data_unit.list_pilot_data() == [first, second], data_unit.details["reason"]

        data_unit.export(f"{work}/copy")
        print_table(data_unit.details["files"], work / "copy")
        print(
            f"{data_unit.state}: {first.details['used']} bytes at each of {len(data_unit.list_pilot_data())} places"
        )


def make_files(folder: Path) -> None:
    for number in range(1, 4):
        path = folder / f"run-{number}" / "energies.dat"
        path.parent.mkdir(parents=True)
        path.write_text("".join(f"{step} {-number * step}\n" for step in range(number * 100)))


def print_table(files: dict[str, dict[str, Any]], copy: Path) -> None:
    print(f"{'file':<28}{'bytes':>6}  replicas  exported copy")
    for name, file in files.items():
        is_same = hashlib.sha256((copy / name).read_bytes()).hexdigest() == file["checksum"]
        replicas = len(file["replicas"])
        print(f"{name:<28}{file['size']:>6}{replicas:>10}  {'same content' if is_same else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
