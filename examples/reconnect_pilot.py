"""Reconnecting to a pilot: another process, given nothing but the pilot's URL, submits work to it.

The URL holds no password. The second process finds the key of the session in the session file that the first one wrote
below ~/.local/state/pilot, so it has to run as the same user.
"""

from __future__ import annotations

import subprocess
import sys

from pilot import PilotCompute, PilotComputeService


def start() -> None:
    """Start a pilot, and let another process use it."""
    with PilotComputeService() as pilots:
        pilot = pilots.create_pilot(
            {"service_url": "fork://localhost", "number_of_processes": 1, "walltime": 10}
        )
        subprocess.run([sys.executable, __file__, pilot.url], check=True)
        print(f"first process: the pilot has run {len(pilot.list_compute_units())} unit for the second")


def reconnect(url: str) -> None:
    """Use a pilot that somebody else started."""
    pilot = PilotCompute(pilot_url=url)
    unit = pilot.submit_compute_unit({"executable": "/bin/echo", "arguments": ["hello from another process"]})
    print(f"second process: {unit.result().stdout().strip()}", flush=True)


if __name__ == "__main__":
    reconnect(sys.argv[1]) if len(sys.argv) > 1 else start()
