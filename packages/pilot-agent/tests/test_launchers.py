"""Finding launchers in a PATH: invented programs that print what real ones do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot_agent.node.launchers import Launchers
from pilot_agent.spawn.failures import StartError
from pilot_agent.spawn.search import ProgramSearch

OPEN_MPI = "mpirun (Open MPI) 4.1.4"
MPICH = "HYDRA build details:"


@pytest.fixture
def launchers() -> Launchers:
    return Launchers(ProgramSearch())


def install(folder: Path, name: str, version: str = "") -> Path:
    """Make a program that prints its version and notes that it was asked."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho asked >>'{folder}/{name}.asked'\necho '{version}'\n")
    program.chmod(0o755)
    return program


def find(launchers: Launchers, folder: Path, wanted: str = "", **environment: str) -> tuple[str, str]:
    found = launchers.find(wanted, {"PATH": str(folder), **environment})
    return found.family.name, Path(found.path).name


def test_mpirun_is_what_the_path_says_it_is(launchers: Launchers, tmp_path: Path) -> None:
    install(tmp_path, "mpirun", MPICH)
    install(tmp_path, "mpiexec", OPEN_MPI)
    assert find(launchers, tmp_path) == ("mpich", "mpirun")


def test_a_launcher_is_asked_once(launchers: Launchers, tmp_path: Path) -> None:
    install(tmp_path, "mpirun", OPEN_MPI)
    assert [find(launchers, tmp_path) for _ in range(3)] == [("openmpi", "mpirun")] * 3
    assert (tmp_path / "mpirun.asked").read_text() == "asked\n"


def test_an_unknown_mpirun_is_passed_over(launchers: Launchers, tmp_path: Path) -> None:
    install(tmp_path, "mpirun", "another tool")
    install(tmp_path, "mpiexec", OPEN_MPI)
    assert find(launchers, tmp_path) == ("openmpi", "mpiexec")


def test_the_family_that_is_asked_for_is_found_behind_others(launchers: Launchers, tmp_path: Path) -> None:
    install(tmp_path, "mpirun", OPEN_MPI)
    install(tmp_path, "mpiexec.hydra", MPICH)
    assert find(launchers, tmp_path, "mpich") == ("mpich", "mpiexec.hydra")


@pytest.mark.parametrize(
    ("program", "family", "environment"),
    [
        ("srun", "srun", {"SLURM_JOB_ID": "7"}),
        ("flux", "flux", {"FLUX_URI": "local:///x"}),
        ("jsrun", "jsrun", {"LSB_JOBID": "7"}),
        ("ibrun", "ibrun", {"SLURM_JOB_ID": "7"}),
        ("aprun", "aprun", {}),
    ],
)
def test_a_sites_launcher_is_used_where_it_belongs(
    launchers: Launchers, tmp_path: Path, program: str, family: str, environment: dict[str, str]
) -> None:
    install(tmp_path, program)
    assert find(launchers, tmp_path, **environment) == (family, program)
    if environment:
        with pytest.raises(StartError, match="no MPI launcher found"):
            find(launchers, tmp_path)
    assert not (tmp_path / f"{program}.asked").exists(), "its name says it all"


def test_inside_slurm_mpirun_comes_before_srun(launchers: Launchers, tmp_path: Path) -> None:
    install(tmp_path, "srun")
    install(tmp_path, "mpirun", MPICH)
    assert find(launchers, tmp_path, SLURM_JOB_ID="7") == ("mpich", "mpirun")


def test_without_a_launcher_the_error_says_what_to_do(launchers: Launchers, tmp_path: Path) -> None:
    install(tmp_path, "mpirun", "another tool\nline 2")
    with pytest.raises(StartError) as caught:
        find(launchers, tmp_path)
    message = str(caught.value)
    assert message.startswith("no MPI launcher found: looked for aprun, mpirun, mpiexec, ")
    assert (
        f"in PATH={tmp_path}; {tmp_path}/mpirun is another one (another tool); load the MPI's module in"
        in message
    )
    assert "agent_options.mpi_launcher" in message


def test_a_family_that_is_not_there_is_named(launchers: Launchers, tmp_path: Path) -> None:
    install(tmp_path, "mpirun", OPEN_MPI)
    with pytest.raises(
        StartError, match=r"looked for mpirun, mpiexec, mpiexec\.hydra, mpiexec\.mpich in PATH"
    ):
        find(launchers, tmp_path, "mpich")


def test_a_family_that_does_not_exist_is_refused(launchers: Launchers, tmp_path: Path) -> None:
    with pytest.raises(
        StartError, match=r"no MPI launchers named 'lam'; agent_options\.mpi_launcher: auto, jsrun"
    ):
        find(launchers, tmp_path, "lam")


def test_a_launcher_that_cannot_be_run_is_passed_over(launchers: Launchers, tmp_path: Path) -> None:
    (tmp_path / "mpirun").write_text("no program")
    (tmp_path / "mpirun").chmod(0o755)
    with pytest.raises(StartError, match="Exec format error"):
        find(launchers, tmp_path)
