"""Cray ALPS. Pure.

Uneven numbers of ranks are written as several programs, which all are one MPI program.
"""

from __future__ import annotations

from pilot_agent.launch.plan import Command, Plan


def command(plan: Plan) -> Command:
    """Return how ``aprun`` starts the ranks."""
    argv = [plan.launcher]
    for ranks, hosts in plan.even_groups():
        argv += [":"] if len(argv) > 1 else []
        argv += ["-n", str(ranks * len(hosts)), "-N", str(ranks), "-d", str(plan.threads), "-cc", "none"]
        argv += ["-L", ",".join(hosts), *plan.command]
    return Command(argv)
