""" Pilot-Compute and Pilot-Data together: the input of a compute unit is a data unit, its output is put into another one. """
import os
import time
from pilot import *

COORDINATION_URL = os.getenv("COORDINATION_URL", "redis://localhost:6379")
LABELS = {"affinity_datacenter_label": "eu-de-south", "affinity_machine_label": "mymachine-1"}
LABELS = LABELS if os.getenv("WITH_LABELS") else {}

if __name__ == "__main__":
    base_dir = os.path.join(os.getcwd(), "work")
    os.makedirs(base_dir)
    with open(os.path.join(base_dir, "test.txt"), "w") as f:
        f.write("words of the user\n")

    # create pilot data service (factory for data pilots (physical, distributed storage))
    pilot_data_service = PilotDataService(coordination_url=COORDINATION_URL)
    pilot_data_description = {"service_url": "file://localhost" + os.path.join(base_dir, "pilotdata"), "size": 100}
    pilot_data_description.update(LABELS)
    pd = pilot_data_service.create_pilot(pilot_data_description=pilot_data_description)

    # create pilot job service and initiate a pilot job
    pilot_compute_service = PilotComputeService(coordination_url=COORDINATION_URL)
    pilot_compute_description = {"service_url": "fork://localhost", "number_of_processes": 1,
                                 "working_directory": os.path.join(base_dir, "agent"), "walltime": 10}
    pilot_compute_description.update(LABELS)
    pilotjob = pilot_compute_service.create_pilot(pilot_compute_description=pilot_compute_description)

    compute_data_service = ComputeDataService()
    compute_data_service.add_pilot_compute_service(pilot_compute_service)
    compute_data_service.add_pilot_data_service(pilot_data_service)

    # create a data unit with the input, and an empty one for the output
    data_unit_description = {"file_urls": [os.path.join(base_dir, "test.txt")]}
    data_unit_description.update(LABELS)
    input_data_unit = compute_data_service.submit_data_unit(data_unit_description)
    input_data_unit.wait()
    print("input: " + input_data_unit.get_state())
    output_data_unit_description = {"file_urls": []}
    output_data_unit_description.update(LABELS)
    output_data_unit = compute_data_service.submit_data_unit(output_data_unit_description)
    output_data_unit.wait()

    # start compute unit
    compute_unit_description = {
        "executable": "/bin/cat",
        "arguments": ["test.txt"],
        "number_of_processes": 1,
        "output": "stdout.txt",
        "error": "stderr.txt",
        "input_data": [input_data_unit.get_url()],   # this stages the content of the data unit to the working directory
        "output_data": [{output_data_unit.get_url(): ["std*"]}],
    }
    compute_unit_description.update(LABELS)
    compute_unit = compute_data_service.submit_compute_unit(compute_unit_description)
    compute_data_service.wait()
    print("cu: " + compute_unit.get_state())
    print(sorted(output_data_unit.list().keys()))

    output_data_unit.export(os.path.join(base_dir, "results"))
    print(open(os.path.join(base_dir, "results", "stdout.txt")).read().strip())
    compute_data_service.cancel()
    pilot_data_service.cancel()
    pilot_compute_service.cancel()
