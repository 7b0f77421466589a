"""Units that run too long, do not let themselves be ended, leave something behind, or fill the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_harness import AgentProcess, FaultBench, fault_bench
from marked_processes import wait_for_end
from protocol_client import Request
from small_disk import small_disk

pytestmark = pytest.mark.faults

FOREVER = "while :; do sleep 600; done"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FaultBench]:
    with fault_bench(tmp_path) as bench:
        yield bench


def sleepers(agent: AgentProcess) -> list[int]:
    return [pid for pid, command in agent.everything().items() if command.startswith("sleep")]


def test_a_unit_ends_with_its_walltime_whatever_it_does_about_it(bench: FaultBench) -> None:
    agent = bench.start_agent()
    minutes = 0.5 / 60
    meek, stubborn = bench.client.submit(
        [
            bench.log.payload(FOREVER, walltime=minutes),
            bench.log.payload(f"trap '' TERM; {FOREVER}", walltime=minutes),
        ]
    )
    bench.client.wait_for_ends([meek, stubborn])
    assert bench.client.letters([meek, stubborn]) == ["F", "F"]
    assert [bench.client.reason(name) for name in (meek, stubborn)] == ["timeout", "timeout"]
    assert [bench.client.result(name).signal for name in (meek, stubborn)] == [15, 9]
    assert all(wait_for_end(pid) for pid in sleepers(agent))


def test_nothing_is_left_of_a_unit_that_made_itself_a_daemon(bench: FaultBench) -> None:
    agent = bench.start_agent()
    (unit,) = bench.client.submit([bench.log.payload("(setsid sleep 600 > /dev/null 2>&1 &)")])
    bench.client.wait_for_ends([unit])
    assert bench.client.letters([unit]) == ["D"]
    assert all(wait_for_end(pid) for pid in sleepers(agent))


def test_units_go_back_when_the_pilots_walltime_ends(bench: FaultBench) -> None:
    grace_and_reports_s, runs_s = 0.5 + 5.0, 6.0
    agent = bench.start_agent(walltime_s=grace_and_reports_s + runs_s)
    units = bench.client.submit([bench.log.payload(FOREVER)] * 3)
    bench.client.wait_for_pilot(agent.pilot, "Done")
    assert agent.wait() == 0
    assert agent.left_after() == []
    assert bench.client.letters(units) == ["N", "N", "N"]
    assert len(bench.log.starts()) == 2


def test_canceled_units_end_wherever_they_are(bench: FaultBench) -> None:
    agent = bench.start_agent()
    # Short units that have run for a while are held ahead by executors.
    units = bench.client.submit([bench.log.payload()] * 5000 + [bench.log.payload(FOREVER)])
    bench.wait_for_ended(300)
    long = bench.client.submit([bench.log.payload(FOREVER)] * 2, Request(max_restarts=0))
    bench.client.cancel(units)
    bench.client.wait_for_ends(units)
    bench.client.wait(lambda seen: set(long) <= seen.in_state("R"))
    bench.client.cancel(long)
    bench.client.wait_for_ends(long)
    letters = bench.client.letters(units)
    assert set(letters) == {"D", "C"}
    assert bench.client.letters(long) == ["C", "C"]
    assert {bench.client.reason(name) for name in long} == {"canceled"}
    assert [count for count in bench.client.seen.ends.values() if count > 1] == []
    assert bench.log.started_again() == 0
    assert all(wait_for_end(pid) for pid in sleepers(agent))
    bench.tell("canceled", done=letters.count("D"), canceled=letters.count("C"))


@pytest.fixture
def sandbox(bench: FaultBench) -> Iterator[Path]:
    """A sandbox on a disk of its own with room for a hundred files."""
    with small_disk(bench.folder / "p-aaaaaaaa", "size=2m,nr_inodes=100,mode=0700") as folder:
        yield folder
        for agent in bench.agents:
            agent.sweep_up()


def test_a_full_disk_fails_units_and_not_the_agent(bench: FaultBench, sandbox: Path) -> None:
    # With one executor, the unit that fills the disk can only run when all of the agent is there.
    agent = bench.start_agent(options={"executors": 1})
    fill = "i=0; while : > f$i; do i=$((i+1)); done 2> /dev/null; head -c 4m /dev/zero > big; :"
    (filler,) = bench.client.submit([bench.log.payload(fill, working_directory="heap")])
    bench.client.wait_for_ends([filler])
    units = bench.client.submit([bench.log.payload(output="out.txt")] * 5)
    bench.client.wait_for_ends(units)
    assert bench.client.letters(units) == ["F"] * 5
    assert {bench.client.reason(name) for name in units} == {"disk_full"}
    for file in (sandbox / "heap").iterdir():
        file.unlink()
    after = bench.client.submit([bench.log.payload(output="out.txt")] * 5)
    bench.client.wait_for_ends(after)
    assert bench.client.letters(after) == ["D"] * 5
    assert agent.process.poll() is None
