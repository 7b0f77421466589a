""" What goes wrong is seen: a failing unit, a canceled unit, a wrong description. """
import os
from pilot import PilotComputeService, ComputeDataService, PilotError, State

COORDINATION_URL = os.getenv("COORDINATION_URL", "redis://localhost:6379")

if __name__ == "__main__":
    pilot_compute_service = PilotComputeService(COORDINATION_URL)
    pilotjob = pilot_compute_service.create_pilot({"service_url": "fork://localhost", "number_of_processes": 1,
                                                   "working_directory": os.getenv("HOME") + "/agent"})
    failing = pilotjob.submit_compute_unit({"executable": "/bin/sh", "arguments": ["-c", "exit 255"]})
    failing.wait()
    print("exit code 255: %s" % failing.get_state())

    canceled = pilotjob.submit_compute_unit({"executable": "/bin/sleep", "arguments": ["600"]})
    canceled.cancel()
    canceled.wait()
    print("canceled: %s" % canceled.get_state())

    try:
        pilotjob.submit_compute_unit({"executabel": "/bin/date"})
    except PilotError as e:
        print("PilotError: %s" % (str(e) == str(e.value)))
    try:
        raise PilotError("my own")
    except PilotError as e:
        print(e.value)

    pilotjob.cancel()
    pilot_compute_service.cancel()
