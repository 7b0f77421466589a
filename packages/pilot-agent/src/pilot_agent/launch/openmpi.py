"""Open MPI 4 (ORTE). Pure.

The hosts and their slots are said in a file. Inside a Slurm job the slots that Slurm tells are put aside: a job of one
task with many cores would have one slot.
"""

from __future__ import annotations

from pilot_agent.launch.plan import HOST_FILE, STEPS_BY_SRUN, Command, Plan, lines

_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def command(plan: Plan) -> Command:
    """Return how ``mpirun`` of Open MPI 4 starts the ranks."""
    return slots_command(plan, ["--mca", "ras", "^slurm"])


def slots_command(plan: Plan, without_slurms_slots: list[str]) -> Command:
    """Return the command that Open MPI 4 and 5 have in common, but for one option."""
    argv = [
        plan.launcher,
        *without_slurms_slots,
        *("--hostfile", plan.host_file),
        *("-np", str(plan.ranks)),
        *("--map-by", "slot"),
        *("--bind-to", "none"),
        *plan.command,
    ]
    # The own name of a machine need not be one that can be looked up.
    names = ["localhost"] if plan.is_local else [host.name for host in plan.hosts]
    slots = lines([f"{name} slots={host.ranks}" for name, host in zip(names, plan.hosts)])
    return Command(argv, {HOST_FILE: slots}, {**STEPS_BY_SRUN, **(_AS_ROOT if plan.is_root else {})})
