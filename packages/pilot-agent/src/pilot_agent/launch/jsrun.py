"""IBM's jsrun. Pure.

An explicit resource file says for each rank its host, by its number in the job, its CPUs and its GPUs.
"""

from __future__ import annotations

from pilot_agent.launch.plan import Command, LaunchError, Plan, lines

_FILE = "resources.erf"
_PREAMBLE = [
    "cpu_index_using: physical",
    "overlapping_rs: allow",
    "oversubscribe_cpu: allow",
    "oversubscribe_gpu: allow",
]


def command(plan: Plan) -> Command:
    """Return how ``jsrun`` starts the ranks.

    Raises:
        LaunchError: A host is none of the job's.
    """
    numbers = {name: number for number, name in enumerate(plan.allocation)}  # 0 is the launch node
    missing = [host.name for host in plan.hosts if host.name not in numbers]
    if missing:
        raise LaunchError(f"jsrun wants hosts by number; {missing[0]} is not in LSB_MCPU_HOSTS")
    sets = [
        f"rank: {rank}: {{ host: {numbers[host]}; cpu: {{{cores}}}{f'; gpu: {{{gpus}}}' if gpus else ''} }}"
        for rank, (host, cores, gpus) in enumerate(zip(plan.host_of_each_rank(), plan.cores, plan.gpus))
    ]
    argv = [plan.launcher, "--exit_on_error", "1", "--erf_input", f"{plan.folder}/{_FILE}", *plan.command]
    return Command(argv, {_FILE: lines([*_PREAMBLE, *sets])})
