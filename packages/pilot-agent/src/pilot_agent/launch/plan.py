"""What a launcher of MPI programs is asked for, and what it is given: the words of all modules beside this one. Pure.

A launcher starts the ranks on the hosts, in this order, and nothing else: it binds none of them, passes no environment that
anything depends on, and reads no input. All that is done by the script that each rank runs (`rank_script`), in the same
way whichever launcher there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

HOST_FILE = "hosts"

STEPS_BY_SRUN = {"SLURM_OVERLAP": "1", "SLURM_CPU_BIND": "none"}
"""For launchers that start their daemons by srun where there is Slurm: a step must not wait for the cores of other steps,
the agent's own and those of other units among them, nor keep its ranks on some of the cores."""


class LaunchError(ValueError):
    """A launcher cannot place the ranks as they have to lie."""


class Host(NamedTuple):
    """How many ranks a host has, by the name that the batch system gives it."""

    name: str
    ranks: int


class Plan(NamedTuple):
    """One MPI unit, as a launcher sees it."""

    launcher: str
    """Path of the launcher."""
    hosts: tuple[Host, ...]
    """In the order of the ranks. The launcher is started on the first one."""
    command: tuple[str, ...]
    """What each rank executes."""
    folder: str
    """Absolute path, seen by all hosts, of the folder for files of this start."""
    cores: tuple[str, ...] = ()
    """The CPUs of each rank, like ``0-3,8``."""
    gpus: tuple[str, ...] = ()
    """The GPUs of each rank, like ``0,1``; empty texts without."""
    threads: int = 1
    """CPUs of a rank."""
    allocation: tuple[str, ...] = ()
    """All hosts of the batch job, in its order; empty where they are not known."""
    is_root: bool = False
    srun_type: str = ""
    """What ``srun --mpi`` is told; "" leaves it to the site's settings."""

    @property
    def ranks(self) -> int:
        """Ranks in all."""
        return sum(host.ranks for host in self.hosts)

    @property
    def is_local(self) -> bool:
        """Whether all ranks lie on the launcher's own host."""
        return len(self.hosts) == 1

    @property
    def host_file(self) -> str:
        """Path of the file that names the hosts."""
        return f"{self.folder}/{HOST_FILE}"

    def host_of_each_rank(self) -> list[str]:
        """Return the host of rank 0, of rank 1, and so on."""
        return [host.name for host in self.hosts for _ in range(host.ranks)]

    def even_groups(self) -> Iterator[tuple[int, list[str]]]:
        """Yield neighbors with as many ranks each: their number on each host, the hosts."""
        for ranks, hosts in groupby(self.hosts, key=lambda host: host.ranks):
            yield ranks, [host.name for host in hosts]


class Command(NamedTuple):
    """How a launcher is started."""

    argv: list[str]
    files: Mapping[str, str] = {}
    """Files to be written before, by their names in the plan's folder."""
    environment: Mapping[str, str] = {}
    """Variables of the launcher itself; those of Slurm's are for inside a job of Slurm only."""


def lines(items: Iterator[str] | list[str]) -> str:
    """Return a text of one line for each item."""
    return "".join(f"{item}\n" for item in items)
