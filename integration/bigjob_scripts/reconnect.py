""" Started twice: first makes a pilot and prints its URL, then `reconnect.py URL` works with it and cancels it. """
import os
import sys
from pilot import PilotComputeService, PilotCompute, State

COORDINATION_URL = os.getenv("COORDINATION_URL", "redis://localhost:6379")

if __name__ == "__main__":
    if len(sys.argv) < 2:
        pilot_compute_service = PilotComputeService(coordination_url=COORDINATION_URL)
        pilot_compute = pilot_compute_service.create_pilot({
            "service_url": "fork://localhost",
            "number_of_processes": 1,
            "working_directory": os.getenv("HOME") + "/agent",
            "walltime": 10,
        })
        pilot_compute.submit_compute_unit({"executable": "/bin/date", "output": "stdout.txt", "error": "stderr.txt"})
        print(pilot_compute.get_url())
    else:
        pilot_compute = PilotCompute(pilot_url=sys.argv[1])
        pilot_compute.submit_compute_unit({"executable": "/bin/date"})
        pilot_compute.wait()
        for compute_unit in pilot_compute.list_compute_units():
            print(compute_unit.get_state())
        print("pilot: " + pilot_compute.get_state())
        pilot_compute.cancel()
