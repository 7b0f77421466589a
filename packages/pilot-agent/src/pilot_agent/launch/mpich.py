"""MPICH, MVAPICH and whatever else is started by Hydra; Intel's Hydra is another one. Pure."""

from __future__ import annotations

from pilot_agent.launch.plan import HOST_FILE, STEPS_BY_SRUN, Command, Plan, lines


def command(plan: Plan) -> Command:
    """Return how ``mpiexec`` of Hydra starts the ranks; between hosts it finds the way by itself: srun, ssh or others."""
    argv = [
        plan.launcher,
        *(("-launcher", "fork") if plan.is_local else ()),
        *("-f", plan.host_file),
        *("-n", str(plan.ranks)),
        *("-bind-to", "none"),
        *plan.command,
    ]
    return Command(argv, {HOST_FILE: hosts_with_counts(plan)}, STEPS_BY_SRUN)


def hosts_with_counts(plan: Plan) -> str:
    """Return a file of lines like ``host:2``."""
    names = ["localhost"] if plan.is_local else [host.name for host in plan.hosts]
    return lines([f"{name}:{host.ranks}" for name, host in zip(names, plan.hosts)])
