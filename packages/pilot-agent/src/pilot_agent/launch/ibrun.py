"""TACC's ibrun, which starts the same number of ranks on neighboring hosts of a job. Pure."""

from __future__ import annotations

from pilot_agent.launch.plan import Command, LaunchError, Plan


def command(plan: Plan) -> Command:
    """Return how ``ibrun`` starts the ranks.

    Raises:
        LaunchError: The hosts have different numbers of ranks, or do not follow one another in the job.
    """
    names = tuple(host.name for host in plan.hosts)
    each = plan.hosts[0].ranks
    first = plan.allocation.index(names[0]) if names[0] in plan.allocation else -1
    if any(host.ranks != each for host in plan.hosts) or plan.allocation[first : first + len(names)] != names:
        raise LaunchError(
            "ibrun starts the same number of ranks on neighboring hosts, and these are "
            f"{', '.join(f'{host.name}: {host.ranks}' for host in plan.hosts)}; "
            "put an mpirun into PATH, or set placement to whole_nodes"
        )
    argv = [plan.launcher, "-n", str(plan.ranks), "-o", str(first * each), *plan.command]
    return Command(argv, {}, {"IBRUN_TASKS_PER_NODE": str(each)})
