"""A simple ensemble: one program, many members, each with an environment of its own.

Prints a line for each member, in the order of their submission, whichever ended first.
"""

from __future__ import annotations

from pilot import ComputeDataService, PilotComputeService

MEMBERS = 8


def main() -> None:
    with PilotComputeService() as pilots, ComputeDataService() as ensemble:
        pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 2, "walltime": 10})
        ensemble.add_pilot_compute_service(pilots)
        members = [
            ensemble.submit_compute_unit(
                {
                    "executable": "/bin/echo",
                    "arguments": ["I am member $MEMBER of $MEMBERS"],
                    "environment": {"MEMBER": str(number), "MEMBERS": str(MEMBERS)},
                }
            )
            for number in range(1, MEMBERS + 1)
        ]
        ensemble.wait()
        for member in members:
            print(f"{member.state}: {member.stdout().strip()}")


if __name__ == "__main__":
    main()
