"""Coupled ensembles: N A and N B run side by side; when all of them are Done, N C bring each pair together."""

from __future__ import annotations

import tempfile

from pilot import ComputeDataService, PilotComputeService

PAIRS = 4


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        PilotComputeService() as pilots,
        ComputeDataService() as work,
    ):
        pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 2, "walltime": 10})
        work.add_pilot_compute_service(pilots)

        for name in ("a", "b"):
            work.submit_compute_units(
                {
                    "executable": "/bin/echo",
                    "arguments": [f"{name}{number}"],
                    "output": f"{folder}/{name}-{number}.txt",
                }
                for number in range(PAIRS)
            )
        work.wait()
        print("A and B are done")

        pairs = work.submit_compute_units(
            {
                "executable": "paste",
                "arguments": ["-d", "+", f"{folder}/a-{number}.txt", f"{folder}/b-{number}.txt"],
                "name": f"c-{number}",
            }
            for number in range(PAIRS)
        )
        for c in pairs:
            print(f"C brought together: {c.result().stdout().strip()}")


if __name__ == "__main__":
    main()
