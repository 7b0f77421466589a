"""The launchers of MPI programs that the agent knows: their names, what tells them apart, and how they number ranks. Pure."""

from __future__ import annotations

from typing import Callable, NamedTuple

from pilot_agent.launch import aprun, flux, ibrun, intelmpi, jsrun, mpich, openmpi, pals, srun
from pilot_agent.launch.plan import Command, Plan

_MPI_PROGRAMS = ("mpirun", "mpiexec", "mpiexec.hydra")
_HYDRA_RANK = ("PMI_RANK", "PMIX_RANK")


class Family(NamedTuple):
    """One kind of launcher."""

    name: str
    """As in `agent_options.mpi_launcher`."""
    command: Callable[[Plan], Command]
    rank_variables: tuple[str, ...]
    """Where a rank finds its number, the first of them that is set."""
    programs: tuple[str, ...]
    """Names it may have."""
    needs: str = ""
    """The variable that says that there is what this launcher belongs to; "" when it works anywhere."""
    marks: tuple[str, ...] = ()
    """What `--version` of it prints one of; nothing for a name that nothing else has."""


FAMILIES = (
    Family("jsrun", jsrun.command, ("JSM_NAMESPACE_RANK", "PMIX_RANK"), ("jsrun",), "LSB_JOBID"),
    Family("aprun", aprun.command, ("ALPS_APP_PE",), ("aprun",)),
    Family("flux", flux.command, ("FLUX_TASK_RANK",), ("flux",), "FLUX_URI"),
    Family("pals", pals.command, ("PALS_RANKID",), ("mpirun", "mpiexec"), "", ("PALS",)),
    Family(
        "openmpi",
        openmpi.command,
        ("OMPI_COMM_WORLD_RANK", "PMIX_RANK"),
        ("mpirun", "mpiexec", "mpirun.openmpi"),
        "",
        ("(OpenRTE)", "(Open MPI)", "IBM Spectrum MPI"),
    ),
    Family("intelmpi", intelmpi.command, _HYDRA_RANK, _MPI_PROGRAMS, "", ("Intel(R) MPI Library",)),
    Family(
        "mpich",
        mpich.command,
        _HYDRA_RANK,
        (*_MPI_PROGRAMS, "mpiexec.mpich"),
        "",
        ("HYDRA build details",),
    ),
    Family("ibrun", ibrun.command, (*_HYDRA_RANK, "SLURM_PROCID"), ("ibrun",), "SLURM_JOB_ID"),
    Family("srun", srun.command, ("SLURM_PROCID",), ("srun",), "SLURM_JOB_ID"),
)
"""In the order in which they are looked for: first what a machine has for all its programs, srun where no MPI brings a
launcher of its own."""

BY_PROGRAM = {program: family for family in FAMILIES for program in family.programs if not family.marks}
"""Those whose name nothing else has."""


def family_of(version: str) -> Family | None:
    """Return the kind of an ``mpirun`` or ``mpiexec``, None for one that is not known.

    Args:
        version: What it prints when it is called with ``--version``.
    """
    return next((family for family in FAMILIES if any(mark in version for mark in family.marks)), None)
