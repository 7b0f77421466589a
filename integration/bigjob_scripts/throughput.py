""" How many compute units a second? With the clock around submission and wait. """
import os
import time
from pilot import PilotComputeService, ComputeDataService

COORDINATION_URL = os.getenv("COORDINATION_URL", "redis://localhost:6379")
NUMBER_JOBS = 128

if __name__ == "__main__":
    pilot_compute_service = PilotComputeService(coordination_url=COORDINATION_URL)
    pilot_compute_service.create_pilot(pilot_compute_description={
        "service_url": "fork://localhost",
        "number_of_processes": 2,
        "number_executor_threads": 16,
        "working_directory": os.getenv("HOME") + "/agent",
        "walltime": 10,
    })
    compute_data_service = ComputeDataService()
    compute_data_service.add_pilot_compute_service(pilot_compute_service)
    start = time.time()
    for i in range(NUMBER_JOBS):
        compute_data_service.submit_compute_unit(compute_unit_description={
            "executable": "/bin/date", "total_core_count": 1, "wall_time_limit": 5})
    compute_data_service.wait()
    runtime = time.time() - start
    print("Number of jobs: %d, runtime known: %s" % (NUMBER_JOBS, runtime > 0 and runtime / NUMBER_JOBS > 0))
    print("Done: %d" % len([cu for cu in compute_data_service.list_compute_units() if cu.get_state() == "Done"]))
    compute_data_service.cancel()
    pilot_compute_service.cancel()
