""" Chained ensemble: as soon as an A task is Done its B task is submitted. """
import os
import time
from pilot import PilotComputeService, State

COORD = os.getenv("COORDINATION_URL", "redis://localhost:6379")
NUMBER_JOBS = 4

if __name__ == "__main__":
    pilot_compute_service = PilotComputeService(COORD)
    pilot_compute_description = {
        "service_url": "fork://localhost",
        "number_of_processes": 2,
        "processes_per_node": 2,
        "working_directory": os.getenv("HOME") + "/agent",
        "walltime": 15
    }
    pilotjob = pilot_compute_service.create_pilot(pilot_compute_description=pilot_compute_description)

    task_set_A = list()
    for i in range(NUMBER_JOBS):
        compute_unit_description = {
            "executable": "/bin/sleep",
            "arguments": ["0.2"],
            "environment": ["TASK_NO=%d" % i],
            "number_of_processes": 1,
            "spmd_variation": "single",
            "output": "A-stdout.txt",
            "error": "A-stderr.txt",
        }
        task_set_A.append(pilotjob.submit_compute_unit(compute_unit_description))

    task_set_B = list()
    while len(task_set_A) > 0:
        for a_task in task_set_A:
            # half of the world compared with the constant, the other half with the string
            if a_task.get_state() == "Done" and a_task.get_state() == State.Done:
                compute_unit_description = {
                    "executable": "/bin/echo",
                    "arguments": ["B", "follows", "$A_TASK"],
                    "environment": ["A_TASK=" + a_task.get_id()],
                    "number_of_processes": 1,
                    "output": "B-stdout.txt",
                    "error": "B-stderr.txt",
                }
                task_set_B.append((a_task, pilotjob.submit_compute_unit(compute_unit_description)))
                task_set_A.remove(a_task)
                break
        time.sleep(0.05)

    for a_task, b_task in task_set_B:
        b_task.wait()
        path = os.path.join(b_task.get_local_working_directory(), "B-stdout.txt")
        assert open(path).read() == "B follows %s\n" % a_task.get_id()
        print("B task: " + b_task.get_state())

    pilotjob.cancel()
    pilot_compute_service.cancel()
