"""From the order of an MPI unit to the launcher that starts its ranks: the script they run, the files, the command line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pilot_agent.launch.plan import Command, Host, LaunchError, Plan
from pilot_agent.launch.rank_script import ANY_RANK, RankScript, Slot, can_be_exported, rank_script
from pilot_agent.launch.single import SHELL, unit_argv
from pilot_agent.lrms.host_lists import expand_hosts, expand_numbers
from pilot_agent.node.lanes import unused
from pilot_agent.node.launchers import Launcher, Launchers
from pilot_agent.node.mpi_orders import MpiOrder
from pilot_agent.node.orders import Order
from pilot_agent.spawn.failures import StartError, cannot
from pilot_agent.spawn.markers import MARKERS
from pilot_agent.spawn.search import ProgramSearch

SCRIPT = "launch.sh"

_LAUNCHERS_OWN = (
    *("OMPI_", "PRTE_", "PMI_", "PMIX_", "HYDI_", "HYDRA_", "MPI_LOCAL", "MPIR_", "MV2_COMM_WORLD_"),
    *("SLURM_", "ALPS_", "PALS_", "FLUX_", "JSM_", "PMIX_", "SSH_", "XDG_"),
)
_HOSTS_OWN = frozenset(("HOSTNAME", "HOST", "SHLVL", "_", "PWD", "OLDPWD"))
"""Inherited variables that tell of this process and this host, and so nothing that a rank may be told."""

_OUTER_RANKS = (
    "OMPI_COMM_WORLD_",
    "OMPI_MCA_orte_",
    "OMPI_MCA_ess",
    "PMI_",
    "PMIX_",
    "PRTE_",
    "HYDI_",
    "PALS_",
)
"""Inherited variables of a launcher that started the agent itself; another launcher would take them for its own."""


class Work(NamedTuple):
    """What the ranks do. `ANY_RANK` in its texts stands for the number of each rank."""

    argv: Sequence[str]
    folder: str
    stdin: str
    stdout: str
    stderr: str
    """Files of each rank; "" for what goes through the launcher."""


class Start(NamedTuple):
    """What is executed to start an MPI unit."""

    argv: list[str]
    environment: dict[str, str]
    launch_folder: str


class _Launching(NamedTuple):
    launcher: Launcher
    folder: str


class MpiStarter:
    """Prepares starts of MPI units; finds launchers by a search that remembers."""

    def __init__(self, search: ProgramSearch) -> None:
        self._launchers = Launchers(search)
        self._is_root = os.geteuid() == 0

    def prepare(self, order: Order, mpi: MpiOrder, work: Work, environment: Mapping[str, str]) -> Start:
        """Write what the ranks need into a folder of this attempt; return what starts them.

        Raises:
            StartError: There is no launcher for it, or a file cannot be written.
        """
        environment = {
            name: value
            for name, value in environment.items()
            if name in order.env or not name.startswith(_OUTER_RANKS)
        }
        own = {name: value for name, value in environment.items() if ANY_RANK not in value}
        folder = os.path.join(order.sandbox, f"launch.{order.attempt}")
        start = _Launching(self._launchers.find(mpi.launcher, own), folder)
        command = self._command(mpi, start, own)
        script = rank_script(_script(order, mpi, work, environment, start))
        _write(folder, {SCRIPT: script, **command.files})
        argv = unit_argv(command.argv[0], command.argv[1:], (), order.post)
        return Start(argv, {**own, **_of_launcher(command, own)}, folder)

    def _command(self, mpi: MpiOrder, start: _Launching, environment: Mapping[str, str]) -> Command:
        counts = Counter(rank.host for rank in mpi.ranks)
        markers = [f"{name}={environment[name]}" for name in MARKERS]
        plan = Plan(
            launcher=start.launcher.path,
            hosts=tuple(Host(name, counts[name]) for name in mpi.hosts),
            # The environment that a process begins with is what tells whose it is.
            command=("/usr/bin/env", *markers, SHELL, os.path.join(start.folder, SCRIPT)),
            folder=start.folder,
            cores=tuple(rank.cores for rank in mpi.ranks),
            gpus=tuple(rank.gpus for rank in mpi.ranks),
            threads=len(expand_numbers(mpi.ranks[0].cores)),
            allocation=_allocation(environment),
            is_root=self._is_root,
            srun_type=mpi.srun_type,
        )
        try:
            return start.launcher.family.command(plan)
        except LaunchError as error:
            raise StartError(str(error)) from error


def _of_launcher(command: Command, environment: Mapping[str, str]) -> dict[str, str]:
    """Return a launcher's own variables; outside of Slurm nothing shall look like it."""
    in_slurm = "SLURM_JOB_ID" in environment
    return {
        name: value
        for name, value in command.environment.items()
        if in_slurm or not name.startswith("SLURM_")
    }


def _script(
    order: Order, mpi: MpiOrder, work: Work, environment: Mapping[str, str], start: _Launching
) -> RankScript:
    nodes = {host: number for number, host in enumerate(mpi.hosts)}
    return RankScript(
        slots=[Slot(nodes[rank.host], rank.cores, rank.gpus) for rank in mpi.ranks],
        rank_variables=start.launcher.family.rank_variables,
        launch_folder=start.folder,
        folder=work.folder,
        argv=work.argv,
        environment=_exported(order, environment),
        pre_exec=order.pre,
        stdin=work.stdin,
        stdout=work.stdout,
        stderr=work.stderr,
        is_pinned=mpi.pinned,
    )


def _exported(order: Order, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what ranks are given: all that the order says, and of what is inherited what means the same on every host.

    Raises:
        StartError: The order has a variable that no shell can pass on.
    """
    for name in order.env:
        if not can_be_exported(name):
            raise StartError(
                f"environment variable {name!r} cannot be given to the ranks of an MPI unit; "
                "use letters, digits and _ in its name"
            )
    return {
        name: value
        for name, value in environment.items()
        if name in order.env or (can_be_exported(name) and not _is_local(name))
    }


def _is_local(name: str) -> bool:
    return name in _HOSTS_OWN or name.startswith(_LAUNCHERS_OWN)


def _allocation(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hosts of the batch job, in the order in which its launchers number them."""
    if hosts := environment.get("LSB_MCPU_HOSTS"):
        return tuple(hosts.split()[::2])
    try:
        return expand_hosts(environment.get("SLURM_JOB_NODELIST", ""))
    except ValueError:
        return ()


def _write(folder: str, files: Mapping[str, str]) -> None:
    """Write files for the user alone; what another start of the same attempt has left there is moved aside."""
    try:
        os.makedirs(os.path.dirname(folder), 0o700, exist_ok=True)
        if os.path.lexists(folder):
            os.rename(folder, unused(folder))
        os.mkdir(folder, 0o700)
        for name, text in files.items():
            with open(
                os.path.join(folder, name), "x", opener=_private, encoding="utf-8", errors="surrogateescape"
            ) as file:
                file.write(text)
    except OSError as error:
        raise cannot(f"what the ranks need cannot be written to {folder!r}", error) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
