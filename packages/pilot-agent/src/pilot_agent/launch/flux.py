"""Flux. Pure.

Flux places jobs by itself: it is told the hosts, and which rank lies on which of them. It takes as many slots of each host
as the fullest one needs.
"""

from __future__ import annotations

from pilot_agent.launch.plan import HOST_FILE, Command, Plan, lines


def command(plan: Plan) -> Command:
    """Return how ``flux run`` starts the ranks."""
    argv = [
        plan.launcher,
        "run",
        f"--nodes={len(plan.hosts)}",
        f"--ntasks={plan.ranks}",
        f"--cores-per-task={plan.threads}",
        f"--requires=hosts:{','.join(host.name for host in plan.hosts)}",
        f"--taskmap=hostfile:{plan.host_file}",
        "--setopt=cpu-affinity=off",
        "--setopt=gpu-affinity=off",
        "--setopt=exit-on-error",
        *plan.command,
    ]
    return Command(argv, {HOST_FILE: lines(plan.host_of_each_rank())})
