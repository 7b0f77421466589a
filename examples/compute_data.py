"""Compute and data: a unit reads a file of one data unit, and what it prints goes to another one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pilot import ComputeDataService, PilotComputeService, PilotDataService

if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        PilotComputeService() as pilot_compute_service,
        PilotDataService() as pilot_data_service,
        ComputeDataService() as compute_data_service,
    ):
        Path(folder, "test.txt").write_text("hello from a data unit\n")
        pilot_compute_service.create_pilot({"service_url": "fork://localhost", "number_of_processes": 1})
        pilot_data_service.create_pilot({"service_url": f"file://{folder}/store", "size": 100})
        compute_data_service.add_pilot_compute_service(pilot_compute_service)
        compute_data_service.add_pilot_data_service(pilot_data_service)

        input_data_unit = compute_data_service.submit_data_unit({"file_urls": [f"{folder}/test.txt"]})
        output_data_unit = compute_data_service.submit_data_unit({"file_urls": []})
        compute_unit = compute_data_service.submit_compute_unit(
            {
                "executable": "/bin/cat",
                "arguments": ["test.txt"],
                "output": "stdout.txt",
                "error": "stderr.txt",
                "input_data": [input_data_unit],
                "output_data": [{output_data_unit: ["std*"]}],
            }
        )
        compute_unit.result()
        placement = compute_unit.details["placement"]
        print(f"{compute_unit.state}: data {placement['kind']}, {placement['bytes']} bytes moved")
        output_data_unit.export(f"{folder}/exported")
        for path in sorted(Path(folder, "exported").iterdir()):
            print(f"{path.name}: {path.read_text().strip() or 'empty'}")
