"""The examples that run LAMMPS as MPI units or align reads; and whether replica exchange keeps the distribution of each temperature."""

from __future__ import annotations

import importlib.util
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from child_program import run_python

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def programs() -> None:
    for program, package in {"lmp": "lammps", "mpirun": "openmpi-bin"}.items():
        if shutil.which(program) is None:
            pytest.skip(f"no server: {program} is not on this machine ({package})")


def run_example(*words: str, environment: dict[str, str]) -> str:
    name, *arguments = words
    ended = run_python(EXAMPLES / name, {**environment, "PYTHONWARNINGS": "default"}, *arguments)
    ended.check_clean()
    return ended.stdout


@pytest.mark.usefixtures("programs")
def test_hotter_fluids_have_more_energy_and_pressure(environment: dict[str, str]) -> None:
    title, *rows = run_example("lammps_ensemble.py", environment=environment).splitlines()
    assert title == "temperature  energy/atom  pressure"
    temperatures, energies, pressures = zip(*(map(float, row.split()) for row in rows), strict=True)
    assert list(temperatures) == [0.8, 1.1, 1.4]
    assert list(energies) == sorted(energies)
    assert list(pressures) == sorted(pressures)


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_replicas_swap_temperatures(environment: dict[str, str], mode: str) -> None:
    printed = run_example("replica_exchange.py", "--mode", mode, "--cycles", "3", environment=environment)
    assert printed.startswith(f"{mode}: 4 replicas, 3 cycles each\n")
    rows = re.findall(r"^[\d.]+ <-> [\d.]+ +(\d+) +(\d+) +(?:[\d.]+|-)$", printed, re.MULTILINE)
    assert len(rows) == 3
    assert all(int(swaps) <= int(attempts) for attempts, swaps in rows)
    assert sum(int(attempts) for attempts, _ in rows) >= 4
    last = re.search(r"^the replicas ended at (.*)$", printed, re.MULTILINE)
    assert last is not None
    assert sorted(last[1].split(", ")) == ["1.00", "1.05", "1.10", "1.16"]


def test_reads_are_found_where_they_come_from(environment: dict[str, str]) -> None:
    if shutil.which("bwa") is None:
        pytest.skip("no server: bwa is not on this machine (bwa)")
    printed = run_example("genome_alignment.py", "--reads", "500", environment=environment)
    title, *rows = printed.splitlines()
    assert title.split() == ["partition", "reads", "aligned", "at", "the", "right", "place"]
    table = {name: [int(number) for number in numbers] for name, *numbers in map(str.split, rows)}
    assert list(table) == ["part-aa.sam", "part-ab.sam", "part-ac.sam", "part-ad.sam", "all"]
    assert [reads for reads, _, _ in table.values()] == [125, 125, 125, 125, 500]
    _, aligned, right = table["all"]
    assert right >= 490
    assert aligned >= right


@pytest.mark.usefixtures("programs")
def test_the_same_seed_gives_the_same_exchanges_in_step(environment: dict[str, str]) -> None:
    words = ["replica_exchange.py", "--replicas", "3", "--cycles", "2", "--seed", "11"]
    first = run_example(*words, environment=environment)
    assert first.startswith("sync: 3 replicas, 2 cycles each\n")
    assert run_example(*words, environment=environment) == first


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_run_goes_on_with_the_velocities_of_the_one_before_times_the_factor(
    tmp_path: Path, factor: float
) -> None:
    last = kinetic_temperatures(tmp_path, run=0)[-1]
    first = kinetic_temperatures(tmp_path, run=1, velocity_factor=factor)[0]
    assert first == pytest.approx(last * factor**2, rel=1e-6)


def kinetic_temperatures(folder: Path, **variables: float) -> list[float]:
    """Return what LAMMPS prints as the temperature, at the begin and the end of both halves of a run."""
    given = {"temperature": 1.0, "seed": 5, "steps": 10, "files": "fluid", **variables}
    words = [word for name, value in given.items() for word in ("-var", name, str(value))]
    command = ["lmp", "-in", str(EXAMPLES / "fluid.lmp"), "-log", "none", *words]
    ended = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return [
        float(row) for row in re.findall(r"^ +(?:0|10) +(\S+)(?: +\S+){4} *$", ended.stdout, re.MULTILINE)
    ]


@pytest.mark.parametrize("option", [["--replicas", "1"], ["--cycles", "0"], ["--seed", "-1"]])
def test_numbers_that_are_too_small_are_refused(environment: dict[str, str], option: list[str]) -> None:
    ended = run_python(EXAMPLES / "replica_exchange.py", environment, *option)
    assert ended.code == 2
    assert f"argument {option[0]}: {option[1]!r} is not a whole number of at least" in ended.stderr


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replica_exchange", EXAMPLES / "replica_exchange.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def test_swaps_downhill_are_sure_and_others_as_boltzmann_says(example: ModuleType) -> None:
    ladder = example.Ladder([1.0, 2.0], random.Random(1))
    cold, warm = example.Replica(0, 0, energy=5.0), example.Replica(1, 1, energy=3.0)
    assert ladder.probability(cold, warm) == 1.0
    cold.energy, warm.energy = 3.0, 5.0
    assert ladder.probability(cold, warm) == pytest.approx(0.36788, abs=1e-5)
    assert ladder.probability(cold, warm) == ladder.probability(warm, cold)


def test_replicas_that_swap_have_their_velocities_scaled(example: ModuleType) -> None:
    ladder = example.Ladder([1.0, 1.44], random.Random(1))
    cold, warm = example.Replica(0, 0, energy=5.0), example.Replica(1, 1, energy=3.0)
    ladder.attempt(warm, cold)
    assert (cold.level, warm.level) == (1, 0)
    assert cold.velocity_factor == pytest.approx(1.2)
    assert warm.velocity_factor == pytest.approx(1 / 1.2)
    cold.energy, warm.energy = 1000.0, 0.0
    cold.velocity_factor = warm.velocity_factor = 1.0
    ladder.attempt(cold, warm)
    assert (cold.level, warm.level) == (1, 0)
    assert cold.velocity_factor == warm.velocity_factor == 1.0


def test_each_temperature_keeps_its_distribution(example: ModuleType) -> None:
    # The energy of a harmonic oscillator has the mean T/2 at a temperature T; swaps must not change that.
    chance = random.Random(20)
    temperatures = [1.0, 1.5]
    ladder = example.Ladder(temperatures, chance)
    replicas = [example.Replica(0, 0), example.Replica(1, 1)]
    sums, count = [0.0, 0.0], 40_000
    for _ in range(count):
        for replica in replicas:
            replica.energy = chance.gauss(0.0, temperatures[replica.level] ** 0.5) ** 2 / 2
        ladder.attempt(*replicas)
        for replica in replicas:
            sums[replica.level] += replica.energy
    means = [total / count for total in sums]
    assert means == [pytest.approx(temperature / 2, rel=0.03) for temperature in temperatures]
    assert ladder.swaps[0] > count / 2
