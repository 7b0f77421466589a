"""Slurm's srun, inside a job. Pure.

The hosts are said rank by rank in a file, which is the only way to have uneven numbers. Steps overlap: which cores and
GPUs are whose is the agent's to decide, not Slurm's.
"""

from __future__ import annotations

from pilot_agent.launch.plan import HOST_FILE, Command, Plan, lines


def command(plan: Plan) -> Command:
    """Return how ``srun`` starts the ranks."""
    argv = [
        plan.launcher,
        *([f"--mpi={plan.srun_type}"] if plan.srun_type else ()),
        "--overlap",
        "--mem=0",
        "--cpu-bind=none",
        "--kill-on-bad-exit=1",
        "--distribution=arbitrary",
        f"--nodes={len(plan.hosts)}",
        f"--ntasks={plan.ranks}",
        *plan.command,
    ]
    environment = {"SLURM_HOSTFILE": plan.host_file}
    return Command(argv, {HOST_FILE: lines(plan.host_of_each_rank())}, environment)
