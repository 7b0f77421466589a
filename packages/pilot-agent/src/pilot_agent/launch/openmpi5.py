"""Open MPI 5, whose ``mpirun`` is PRRTE's. Pure."""

from __future__ import annotations

from pilot_agent.launch.openmpi import slots_command
from pilot_agent.launch.plan import Command, Plan


def command(plan: Plan) -> Command:
    """Return how ``mpirun`` of Open MPI 5 starts the ranks."""
    return slots_command(plan, ["--prtemca", "ras", "^slurm"])
