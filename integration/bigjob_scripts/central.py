""" ComputeDataServiceCentral with two PilotComputeServices. """
import os
from pilot import *

COORDINATION_URL = os.getenv("COORDINATION_URL", "redis://localhost:6379")

if __name__ == "__main__":
    services = [PilotComputeService(coordination_url=COORDINATION_URL) for _ in range(2)]
    compute_data_service = ComputeDataServiceCentral()
    for service in services:
        service.create_pilot({"service_url": "fork://localhost", "number_of_processes": 1,
                              "working_directory": os.path.expanduser("~/agent"), "walltime": 10})
        compute_data_service.add_pilot_compute_service(service)
    cus = [compute_data_service.submit_compute_unit({"executable": "/bin/date"}) for i in range(4)]
    compute_data_service.wait()
    print([cu.get_state() for cu in cus] == [State.Done] * 4)
    compute_data_service.cancel()
    for service in services:
        service.cancel()
