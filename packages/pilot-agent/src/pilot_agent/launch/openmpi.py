"""Open MPI, 4 (ORTE) and 5 (PRRTE). Pure.

The hosts and their slots are said in a file. Slurm's own word of them, which counts more inside a job, is made the same: a
job of one task with many cores would have one slot.
"""

from __future__ import annotations

from pilot_agent.launch.plan import HOST_FILE, STEPS_BY_SRUN, Command, Plan, lines

_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def command(plan: Plan) -> Command:
    """Return how ``mpirun`` starts the ranks."""
    argv = [
        plan.launcher,
        *("--hostfile", plan.host_file),
        *("-np", str(plan.ranks)),
        *("--map-by", "slot"),
        *("--bind-to", "none"),
        *plan.command,
    ]
    # The own name of a machine need not be one that can be looked up.
    names = ["localhost"] if plan.is_local else [host.name for host in plan.hosts]
    slots = [str(host.ranks) for host in plan.hosts]
    environment = {
        **STEPS_BY_SRUN,
        **dict.fromkeys(("SLURM_NODELIST", "SLURM_JOB_NODELIST"), ",".join(names)),
        "SLURM_TASKS_PER_NODE": ",".join(slots),
        **(_AS_ROOT if plan.is_root else {}),
    }
    return Command(
        argv, {HOST_FILE: lines([f"{name} slots={n}" for name, n in zip(names, slots)])}, environment
    )
