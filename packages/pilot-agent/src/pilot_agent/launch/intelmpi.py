"""Intel MPI. Pure.

Its library binds processes by itself, wherever they are started, unless `I_MPI_PIN` says no.
"""

from __future__ import annotations

from pilot_agent.launch.mpich import hosts_with_counts
from pilot_agent.launch.plan import HOST_FILE, STEPS_BY_SRUN, Command, Plan


def command(plan: Plan) -> Command:
    """Return how Intel's ``mpirun`` starts the ranks."""
    argv = [
        plan.launcher,
        *(("-bootstrap", "fork") if plan.is_local else ()),
        *("-machinefile", plan.host_file),
        *("-n", str(plan.ranks)),
        *("-genv", "I_MPI_PIN", "off"),
        *plan.command,
    ]
    return Command(argv, {HOST_FILE: hosts_with_counts(plan)}, STEPS_BY_SRUN)
