"""A program of a user: ``pilot_probe.py REDIS SERVICE``. It cancels a pilot whose unit runs, and starts one that cannot run.

It prints one JSON object: details of the pilot while it ran (``running``) and when ``cancel()`` had returned
(``canceled``), the processes that were left then (``alive``), and the details of the other one (``broken``).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from child_program import processes_of
from pilot import PilotComputeService, State

LIMIT_S = 40.0


def main() -> None:
    """Run the pilots, and tell."""
    redis_url, service_url = sys.argv[1:]
    home = Path(os.environ["HOME"])
    description = {
        "service_url": service_url,
        "number_of_processes": 1,
        "working_directory": f"{home}/probe",
        "walltime": 10,
    }
    begun = home / "begun"
    os.mkfifo(begun)
    begun.chmod(0o666)  # the unit may be another account's
    with PilotComputeService(redis_url) as service:
        broken = service.create_pilot({**description, "python": "/no/such/python"})
        sound = service.create_pilot(description)
        sound.submit_compute_unit(
            {"executable": "/bin/sh", "arguments": ["-c", f"echo >{begun}; sleep 1000"]}
        )
        begun.read_text()  # returns when the unit has begun
        told: dict[str, Any] = {"running": sound.details}
        sound.cancel()
        told["canceled"] = sound.details
        traces = (f"{home}/probe/{sound.id}", str(begun), "sleep 1000")
        told["alive"] = [
            command for _, command in processes_of(home) if any(trace in command for trace in traces)
        ]
        broken.wait(LIMIT_S, State.Failed)
        told["broken"] = broken.details
    print(json.dumps(told, default=str))


if __name__ == "__main__":
    main()
