""" Two pilots, one ComputeDataServiceDecentral, affinity labels, and everything one can list. """
import os
import time
from pilot import PilotComputeService, ComputeDataServiceDecentral, State

COORDINATION_URL = os.getenv("COORDINATION_URL", "redis://localhost:6379")

if __name__ == "__main__":
    pilot_compute_service = PilotComputeService(COORDINATION_URL)
    pilots = []
    for machine in ("machine-1", "machine-2"):
        pilot_compute_description = {
            "service_url": 'fork://localhost',
            "number_of_processes": 1,
            "working_directory": os.getenv("HOME") + "/agent",
            "walltime": 10,
            "affinity_datacenter_label": "eu-de-south",
            "affinity_machine_label": machine,
        }
        pilots.append(pilot_compute_service.create_pilot(pilot_compute_description=pilot_compute_description))

    while len([p for p in pilots if p.get_state() == State.Running]) < len(pilots):
        time.sleep(0.1)

    compute_data_service = ComputeDataServiceDecentral()
    compute_data_service.add_pilot_compute_service(pilot_compute_service)
    print("pilots: %d %d" % (len(pilot_compute_service.list_pilots()), len(compute_data_service.list_pilot_compute())))

    compute_units = []
    for i in range(8):
        compute_unit_description = {
            "executable": "/bin/date",
            "arguments": [],
            "number_of_processes": 1,
            "output": "stdout.txt",
            "error": "stderr.txt",
            "affinity_datacenter_label": "eu-de-south",
            "affinity_machine_label": "machine-%d" % (1 + i % 2),
        }
        compute_units.append(compute_data_service.submit_compute_unit(compute_unit_description))

    print("compute units: %d" % len(compute_data_service.list_compute_units()))
    finished = 0
    while finished < len(compute_units):
        finished = len([cu for cu in compute_units if cu.get_state() in [State.Done, State.Failed]])
        time.sleep(0.1)

    for i, cu in enumerate(compute_units):
        on_right_pilot = cu.get_details()["pilot"] in pilots[i % 2].get_url()
        print("cu %d %s %s" % (i, cu.get_state(), on_right_pilot))
    print("service: %s %s" % (compute_data_service.get_state(), compute_data_service.get_id()[:4]))

    compute_data_service.wait()
    compute_data_service.remove_pilot_compute_service(pilot_compute_service)
    print("pilots now: %d" % len(compute_data_service.list_pilot_compute()))
    compute_data_service.cancel()
    pilot_compute_service.cancel()
