"""Replication: a data unit at one site is brought to a second one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pilot import PilotDataService

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, PilotDataService() as pilot_data_service:
        Path(folder, "test.txt").write_text("hello\n")
        first, second = (
            pilot_data_service.create_pilot(
                {
                    "service_url": f"file://{folder}/{site}",
                    "affinity_datacenter_label": site,
                    "affinity_machine_label": f"{site}-machine",
                }
            )
            for site in ("site-1", "site-2")
        )
        data_unit = first.submit_data_unit({"file_urls": [f"{folder}/test.txt"]})
        data_unit.wait()
        print(f"{data_unit.state} at {len(data_unit.list_pilot_data())} place")
        second.put_du(data_unit)
        print(f"{data_unit.state} at {len(data_unit.list_pilot_data())} places")
        for pilot_data in data_unit.list_pilot_data():
            path = Path(pilot_data.url_for_du(data_unit).removeprefix("file://"), "test.txt")
            print(f"{path.parent.parent.name}: {path.read_text().strip()}")
