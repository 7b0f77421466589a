"""Units with input and output while what moves their files, and the agent's head, are killed again and again."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from child_program import processes_of
from closed_sessions import close_sessions
from pilot import ComputeDataService, ComputeUnit, DataUnit, PilotComputeService, PilotDataService, State
from redis_process import RedisProcess
from until import until

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(180)]

UNITS, CORES, LIMIT_S = 60, 2, 120.0
MOVER, HEAD = "pilot_data.node", "--head"
VICTIMS = [MOVER, HEAD, MOVER, MOVER, HEAD, MOVER, HEAD, MOVER]
"""Each is killed when some more units have run; other units are at every other step of their way then."""
UNITS_BETWEEN = 6
NAMES = [f"out-{number}" for number in range(UNITS)]


class Runs:
    """Hears which units run, as they do.

    Args:
        folder: For the pipe that they tell it by.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "runs"
        os.mkfifo(self.path)
        self._pipe = os.fdopen(os.open(self.path, os.O_RDWR), "rb", buffering=0)
        self.heard: Counter[str] = Counter()

    def hear(self, count: int) -> None:
        """Wait until so many more units have run."""
        for _ in range(count):
            self.heard[self._pipe.readline().decode().strip()] += 1

    def hear_rest(self) -> None:
        """Take what was said until now."""
        os.set_blocking(self._pipe.fileno(), False)
        self.heard.update((self._pipe.read() or b"").decode().split())

    def close(self) -> None:
        """Let go of the pipe."""
        self._pipe.close()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path)
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A server that keeps only what it is told to."""
    made = RedisProcess(tmp_path / "redis")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def work(
    server: RedisProcess, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ComputeDataService]:
    """A pilot, and a folder as Pilot-Data."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with (
        PilotComputeService(server.url) as pilots,
        PilotDataService(server.url) as stores,
        ComputeDataService() as made,
    ):
        pilots.create_pilot(
            {
                "service_url": "fork://localhost",
                "number_of_processes": CORES,
                "working_directory": f"{tmp_path}/agents",
            }
        )
        stores.create_pilot({"service_url": f"file://{tmp_path}/store"})
        made.add_pilot_compute_service(pilots)
        made.add_pilot_data_service(stores)
        yield made
    close_sessions()


def kill(home: Path, word: str) -> None:
    """Kill a process of the agent as soon as there is one."""
    found: list[int] = []

    def find() -> list[int]:
        found[:] = [pid for pid, command in processes_of(home) if word in command]
        return found

    until(find, lambda: f"no process with {word}")
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def submit(work: ComputeDataService, runs: Runs, folder: Path) -> tuple[DataUnit, list[ComputeUnit]]:
    """Return a data unit, and the units that add a file each to it."""
    (folder / "in.dat").write_bytes(os.urandom(1 << 20))
    numbers = work.submit_data_unit({"file_urls": [f"{folder}/in.dat"]})
    assert numbers.wait(LIMIT_S)
    results = work.submit_data_unit({})
    units = work.submit_compute_units(
        [
            {
                "executable": "/bin/sh",
                "arguments": ["-ec", f"cat in.dat in.dat > {name}; echo {name} > {runs.path}"],
                "input_data": [numbers],
                "output_data": [{results: [name]}],
                "max_restarts": len(VICTIMS),
            }
            for name in NAMES
        ]
    )
    return results, units


def test_units_with_data_lose_nothing_while_mover_and_head_are_killed(
    work: ComputeDataService, runs: Runs, home: Path, tmp_path: Path
) -> None:
    results, units = submit(work, runs, tmp_path)
    for victim in VICTIMS:
        runs.hear(UNITS_BETWEEN)
        kill(home, victim)
    assert work.wait(LIMIT_S), [unit.details for unit in units if unit.state is not State.Done]
    assert {unit.state for unit in units} == {State.Done}, [unit.details.get("message") for unit in units]

    runs.hear_rest()
    assert set(runs.heard) == set(NAMES)
    cut_off = VICTIMS.count(HEAD) * CORES
    assert runs.heard.total() <= UNITS + cut_off, "only what a head took along has run again"
    assert sorted(results.list()) == sorted(NAMES)
    content = (tmp_path / "in.dat").read_bytes()
    delivered = tmp_path / "store" / results.id
    assert sorted(os.listdir(delivered)) == sorted(NAMES), "nothing half moved is left"
    assert all((delivered / name).read_bytes() == 2 * content for name in NAMES)


def test_no_output_is_missing_after_a_server_has_forgotten_its_last_words(
    work: ComputeDataService, runs: Runs, server: RedisProcess, tmp_path: Path
) -> None:
    results, units = submit(work, runs, tmp_path)
    for _ in VICTIMS:
        runs.hear(UNITS_BETWEEN // 2)
        server.save()
        runs.hear(UNITS_BETWEEN // 2)
        server.kill()
        server.start()
    assert work.wait(LIMIT_S), [unit.details for unit in units if unit.state is not State.Done]
    assert {unit.state for unit in units} == {State.Done}, [unit.details.get("message") for unit in units]
    assert sorted(results.list()) == sorted(NAMES)
