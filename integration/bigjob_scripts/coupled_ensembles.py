""" Coupled ensembles: A and B side by side, C when both are through. Through a ComputeDataService. """
import os
from pilot import PilotComputeService, ComputeDataService, State

COORDINATION_URL = os.getenv("COORDINATION_URL", "redis://localhost:6379")
WORKDIR = os.path.join(os.environ["HOME"], "agent")
N = 3


def submit(compute_data_service, name, i):
    compute_unit_description = {}
    compute_unit_description["executable"] = "/bin/echo"
    compute_unit_description["arguments"] = ["task", name, "$NUMBER"]
    compute_unit_description["environment"] = {"NUMBER": str(i)}
    compute_unit_description["number_of_processes"] = 1
    compute_unit_description["working_directory"] = os.path.join(WORKDIR, "%s-%d" % (name, i))
    compute_unit_description["output"] = "stdout.txt"
    compute_unit_description["error"] = "stderr.txt"
    return compute_data_service.submit_compute_unit(compute_unit_description)


if __name__ == "__main__":
    pilot_compute_service = PilotComputeService(coordination_url=COORDINATION_URL)
    pilot_compute_service.create_pilot({
        "service_url": "fork://localhost",
        "number_of_processes": 2,
        "working_directory": WORKDIR,
        "walltime": 10,
        "spmd_variation": "single",
    })
    compute_data_service = ComputeDataService()
    compute_data_service.add_pilot_compute_service(pilot_compute_service)

    a_and_b = [submit(compute_data_service, name, i) for i in range(N) for name in ("A", "B")]
    compute_data_service.wait()
    if False in [cu.get_state() == State.Done for cu in a_and_b]:
        raise SystemExit("not all are done")

    for i in range(N):
        submit(compute_data_service, "C", i)
    compute_data_service.wait()

    for name in ("A", "B", "C"):
        for i in range(N):
            print(open(os.path.join(WORKDIR, "%s-%d" % (name, i), "stdout.txt")).read().strip())

    compute_data_service.cancel()
    pilot_compute_service.cancel()
