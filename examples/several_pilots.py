"""Several pilots, one pool of work: a compute unit is bound to a pilot only when that pilot has a core for it.

Prints how many units each pilot ran. The numbers differ from run to run, their sum does not.
"""

from __future__ import annotations

from collections import Counter

from pilot import ComputeDataService, PilotComputeService, State

PILOTS = 2
UNITS = 20


def main() -> None:
    with PilotComputeService() as pilots, ComputeDataService() as work:
        for _ in range(PILOTS):
            pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 1, "walltime": 10})
        for pilot in pilots.list_pilots():
            pilot.wait(state=State.Running)  # only here, so that none comes late to its share
        work.add_pilot_compute_service(pilots)
        units = work.submit_compute_units(
            {"executable": "sleep", "arguments": ["0.05"]} for _ in range(UNITS)
        )
        work.wait()

        ran = Counter(unit.details["pilot"] for unit in units)
        for number, pilot in enumerate(pilots.list_pilots(), 1):
            print(f"pilot {number} ran {ran[pilot.id]} units")
        print(f"together {ran.total()} units, all {units[0].state}")


if __name__ == "__main__":
    main()
