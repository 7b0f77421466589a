""" A compute unit straight to a pilot; prints all that get_details() of both knows. """
import os
import sys
from pilot import PilotComputeService, PilotCompute, ComputeUnit, State

COORDINATION_URL = os.getenv("COORDINATION_URL", "redis://localhost:6379")

PILOT_KEYS = ["state", "description", "start_time", "end_queue_time", "last_contact", "bigjob_id"]
CU_KEYS = ["Executable", "Arguments", "Environment", "NumberOfProcesses", "SPMDVariation", "WorkingDirectory",
           "Output", "Error", "state", "start_time", "agent_start_time", "end_queue_time", "end_time", "run_host"]


def main():
    pilot_compute_service = PilotComputeService(COORDINATION_URL)
    pilot = pilot_compute_service.create_pilot({
        "service_url": "fork://localhost",
        "number_of_processes": 1,
        "working_directory": os.getenv("HOME") + "/agent",
        "walltime": 10,
    })
    print("state of a new pilot is known: %s" % (pilot.get_state() in [State.Unknown, State.New, State.Pending, State.Running]))

    compute_unit = pilot.submit_compute_unit({
        "executable": "/bin/echo",
        "arguments": ["$GREETING", "$NAME"],
        "environment": ["GREETING=Hello", "NAME=World"],
        "number_of_processes": 1,
        "spmd_variation": "single",
        "output": "stdout.txt",
        "error": "stderr.txt",
    })
    compute_unit.wait()
    print("compute unit: %s" % compute_unit.get_state())
    pilot.wait()
    print("pilot: %s, free nodes: %s" % (pilot.get_state(), pilot.get_free_nodes()))

    details = compute_unit.get_details()
    print("missing in the details of the unit: %s" % [key for key in CU_KEYS if key not in details])
    times = [float(details[key]) for key in ("start_time", "agent_start_time", "end_queue_time", "end_time")]
    print("times in order: %s" % (times == sorted(times)))
    print("queue time and run time are numbers: %s %s" % (times[2] - times[0] >= 0, times[3] - times[2] >= 0))
    pilot_details = pilot.get_details()
    print("missing in the details of the pilot: %s" % [key for key in PILOT_KEYS if key not in pilot_details])

    print("units of the pilot: " + ", ".join([cu.get_state() for cu in pilot.list_compute_units()]))
    same = PilotCompute(pilot_url=pilot.get_url())
    print("the same pilot by URL: %s" % (same.get_url() == pilot.get_url()))
    same_cu = ComputeUnit(cu_url=compute_unit.get_url())
    same_cu.wait()
    print("the same unit by URL: %s %s" % (same_cu.get_id() == compute_unit.get_id(), same_cu.get_state()))
    folder = compute_unit.get_local_working_directory()
    print(open(os.path.join(folder, "stdout.txt")).read().strip())

    pilot.cancel()
    print("after cancel: %s" % (pilot.get_state() in [State.Done, State.Canceled]))
    pilot.cancel()  # no harm
    pilot_compute_service.cancel()


if __name__ == "__main__":
    sys.exit(main())
