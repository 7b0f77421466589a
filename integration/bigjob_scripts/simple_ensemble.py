""" Simple ensemble: N times the same executable, straight on one pilot. """
import os
import sys
import pilot
import traceback

COORD       = os.getenv("COORDINATION_URL", "redis://localhost:6379")
HOSTNAME    = "localhost"
QUEUE       = None
WORKDIR     = os.getenv("HOME") + "/agent"
NUMBER_JOBS = 6


def main():
    try:
        pilot_description = pilot.PilotComputeDescription()
        pilot_description.service_url         = "fork://%s" % HOSTNAME
        pilot_description.queue               = QUEUE
        pilot_description.number_of_processes = 2
        pilot_description.working_directory   = WORKDIR
        pilot_description.walltime            = 10

        service = pilot.PilotComputeService(coordination_url=COORD)
        pilotjob = service.create_pilot(pilot_description)

        jobs = []
        for i in range(NUMBER_JOBS):
            task_desc = pilot.ComputeUnitDescription()
            task_desc.executable = '/bin/echo'
            task_desc.arguments = ['I am task number $TASK_NO', ]
            task_desc.environment = {'TASK_NO': i}
            task_desc.spmd_variation = "single"
            task_desc.number_of_processes = 1
            task_desc.output = 'simple-ensemble-stdout.txt'
            task_desc.error = 'simple-ensemble-stderr.txt'
            task = pilotjob.submit_compute_unit(task_desc)
            print("* Submitted task '%s' with id '%s'" % (i, task.get_id()))
            jobs.append(task)

        print("Waiting for tasks to finish...")
        pilotjob.wait()

        for task in jobs:
            folder = task.get_local_working_directory()
            print("%s: %s" % (task.get_state(), open(folder + "/simple-ensemble-stdout.txt").read().strip()))

        print("Terminating BigJob...")
        pilotjob.cancel()
        service.cancel()
        return 0

    except Exception as ex:
        print("AN ERROR OCCURRED: %s" % str(ex))
        traceback.print_exc()
        return -1


if __name__ == "__main__":
    sys.exit(main())
