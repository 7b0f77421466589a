"""MPI units in whole pilots on this machine: an agent as a process, a Redis server, real launchers, and faults."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_harness import AgentProcess, FaultBench, fault_bench
from mpi_programs import OF_SYSTEM, Mpi, find_mpi
from protocol_client import Request

CORES = sorted(os.sched_getaffinity(0))[:2]
MASK = "grep Cpus_allowed_list /proc/self/status | cut -f2"

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(120),
    pytest.mark.skipif(len(CORES) < 2, reason="ranks need two cores"),
]


class MpiBench:
    """A pilot that has two cores, and one MPI implementation.

    Args:
        bench: Its server, client and agent.
        mpi: What starts ranks.
    """

    def __init__(self, bench: FaultBench, mpi: Mpi) -> None:
        self.bench = bench
        self.mpi = mpi
        self.agent = bench.start_agent(options={"mpi_launcher": mpi.family})

    def submit(self, ranks: int, script: str, *, threads: int = 1, **keys: Any) -> str:
        """Submit a unit whose ranks are shell scripts; return its id."""
        return self.submit_program(
            ranks, ["/bin/sh", "-c", script], threads=threads, expand_arguments=False, **keys
        )

    def submit_program(self, ranks: int, argv: Sequence[str], *, threads: int = 1, **keys: Any) -> str:
        """Submit a unit whose ranks are a program; return its id."""
        payload: Mapping[str, Any] = {
            "executable": argv[0],
            "arguments": list(argv[1:]),
            "spmd_variation": "mpi",
            "number_of_processes": ranks,
            "threads_per_process": threads,
            **keys,
        }
        (unit,) = self.bench.client.submit([payload], Request(cores=ranks * threads, block=threads))
        return unit

    def ended(self, *units: str) -> str:
        """Wait for the ends of units; return their letters."""
        self.bench.client.wait_for_ends(units)
        return "".join(self.bench.client.letters(units))

    def sleepers(self) -> tuple[str, Path]:
        """Start a unit of two ranks that sleep; return it and the fifo that both of them hold open."""
        fifo = self.bench.folder / "ready"
        os.mkfifo(fifo)
        unit = self.submit(2, f"exec 3>{fifo}; echo ready >&3; sleep 600; :")
        with fifo.open() as ready:
            assert [ready.readline() for _ in range(2)] == ["ready\n"] * 2
        return unit, fifo


@pytest.fixture(params=OF_SYSTEM)
def mpi(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MpiBench]:
    found = find_mpi(request.param)
    if isinstance(found, str):
        pytest.skip(found)
    with fault_bench(tmp_path) as bench:
        yield MpiBench(bench, found)


def nothing_is_left(agent: AgentProcess) -> bool:
    """Wait until no rank is left; they carry the agent's mark, as all that it starts."""
    return not [command for command in agent.left_after() if "sleep 600" in command]


def test_ranks_of_units_side_by_side_have_cores_of_their_own(mpi: MpiBench) -> None:
    program = str(mpi.mpi.build(mpi.bench.folder))
    whole, halves = mpi.submit_program(2, [program]), [mpi.submit_program(1, [program]) for _ in range(6)]
    assert mpi.ended(whole, *halves) == "D" * 7, mpi.agent.said
    result = mpi.bench.client.result(whole)
    first, second = CORES
    said = sorted((result.stdout or "").splitlines())
    assert said == [f"0 2 {socket.gethostname()} {first}", f"1 2 {socket.gethostname()} {second}"]
    for half in halves:
        result = mpi.bench.client.result(half)
        assert (result.stdout or "").split()[3:] == [result.cores]


def test_threads_of_a_rank_share_its_cores_and_know_their_number(mpi: MpiBench) -> None:
    unit = mpi.submit(1, f"echo $OMP_NUM_THREADS $PILOT_RANKS; {MASK}", threads=2)
    assert mpi.ended(unit) == "D", mpi.agent.said
    expected = ["2", "1", f"{CORES[0]}-{CORES[1]}" if CORES[1] == CORES[0] + 1 else f"{CORES[0]},{CORES[1]}"]
    assert (mpi.bench.client.result(unit).stdout or "").split() == expected


def test_a_rank_that_dies_fails_the_unit_with_its_exit_code(mpi: MpiBench) -> None:
    unit = mpi.submit(2, "[ $PILOT_RANK = 0 ] || exit 3; sleep 600")
    assert mpi.ended(unit) == "F"
    result = mpi.bench.client.result(unit)
    assert (result.exit_code, result.message) == (3, "rank 1: exit code 3")


def test_a_canceled_unit_leaves_no_rank(mpi: MpiBench) -> None:
    unit, fifo = mpi.sleepers()
    with fifo.open() as held:
        mpi.bench.client.cancel([unit])
        assert held.read() == ""
    assert mpi.ended(unit) == "C"


def test_a_unit_whose_walltime_is_over_leaves_no_rank(mpi: MpiBench) -> None:
    unit = mpi.submit(2, "trap '' TERM; while :; do sleep 600; done", walltime=0.01)
    assert mpi.ended(unit) == "F"
    assert mpi.bench.client.result(unit).reason == "timeout"
    mpi.bench.client.tell("p-aaaaaaaa", "stop")
    mpi.agent.wait()
    assert nothing_is_left(mpi.agent)


def test_no_rank_survives_the_agent(mpi: MpiBench) -> None:
    _, fifo = mpi.sleepers()
    with fifo.open() as held:
        mpi.agent.kill(mpi.agent.process.pid, mpi.agent.head)
        assert held.read() == ""


def test_ranks_of_a_killed_executor_are_gone_before_the_unit_runs_again(mpi: MpiBench) -> None:
    fifo = mpi.bench.folder / "ready"
    os.mkfifo(fifo)
    script = f'[ "$PILOT_UNIT_ATTEMPT" = 1 ] || exit 0; exec 3>{fifo}; echo ready >&3; sleep 600; :'
    unit = mpi.submit(2, script)
    with fifo.open() as held:
        assert [held.readline() for _ in range(2)] == ["ready\n"] * 2
        mpi.agent.kill(*mpi.agent.executors)
        assert held.read() == ""
    assert mpi.ended(unit) == "D"


def test_a_rank_that_is_killed_fails_the_unit(mpi: MpiBench) -> None:
    unit, fifo = mpi.sleepers()
    with fifo.open() as held:
        # Its shell with it, or that would go on after the program.
        rank, *_ = [pid for pid, command in mpi.agent.everything().items() if "sleep 600; :" in command]
        os.kill(rank, signal.SIGKILL)
        assert held.read() == ""
    assert mpi.ended(unit) == "F"
    assert "exit code 137" in mpi.bench.client.result(unit).message


def test_without_a_launcher_the_unit_says_what_to_do(mpi: MpiBench) -> None:
    unit = mpi.submit(2, ":", environment={"PATH": str(mpi.bench.folder)})
    assert mpi.ended(unit) == "F"
    message = mpi.bench.client.result(unit).message
    assert message.startswith("no MPI launcher found: looked for mpirun, mpiexec")
    assert "load the MPI's module in the pilot's 'setup'" in message
