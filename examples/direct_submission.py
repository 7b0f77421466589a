"""Early binding: a compute unit is given to one pilot, without a ComputeDataService, even before the pilot is running."""

from __future__ import annotations

from pilot import PilotComputeService


def main() -> None:
    with PilotComputeService() as pilots:
        pilot = pilots.create_pilot(
            {"service_url": "fork://localhost", "number_of_processes": 1, "walltime": 10}
        )
        unit = pilot.submit_compute_unit({"executable": "/bin/echo", "arguments": ["bound to", "$PILOT_ID"]})
        unit.wait()
        assert unit.stdout() == f"bound to {pilot.id}\n"
        details = unit.details
        print(f"state {unit.state}, exit code {details['exit_code']}, attempts {details['attempts']}")
        print(f"ran on the pilot it was given to: {details['pilot'] == pilot.id}")
        print(f"units of this pilot: {len(pilot.list_compute_units())}")


if __name__ == "__main__":
    main()
