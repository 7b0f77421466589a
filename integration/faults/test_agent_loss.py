"""What is left when parts of an agent, or all of it, are killed or stand still."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_harness import FaultBench, fault_bench
from marked_processes import wait_for_end
from protocol_client import Request

pytestmark = pytest.mark.faults

CORES = 2
UNITS = 1000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FaultBench]:
    with fault_bench(tmp_path) as bench:
        yield bench


def test_a_killed_head_comes_back_and_runs_nothing_twice_that_had_ended(bench: FaultBench) -> None:
    agent = bench.start_agent()
    units = bench.client.submit([bench.log.payload()] * UNITS)
    bench.wait_for_ended(UNITS // 4)
    old = {pid for pid in agent.everything() if pid != agent.process.pid}
    recovery_s = bench.recovery_s(lambda: agent.kill(agent.head))
    assert all(wait_for_end(pid) for pid in old)
    bench.check_all_done(units)
    # A unit may have noted its end and be killed before it could exit: no more than there are cores.
    assert len(bench.log.started_after_end()) <= CORES
    assert bench.log.started_again() <= CORES
    bench.tell("head killed", lost=0, twice=0, recovery_s=recovery_s)


def test_a_unit_that_was_told_to_end_has_ended_for_that_reason_although_its_head_died(
    bench: FaultBench,
) -> None:
    told = bench.folder / "told"
    os.mkfifo(told)
    agent = bench.start_agent(options={"grace_s": 600})
    stubborn = f"trap 'echo > {told}' TERM; while :; do sleep 0.05; done"
    (unit,) = bench.client.submit([bench.log.payload(stubborn)])
    bench.client.wait(lambda seen: unit in seen.in_state("R"))
    bench.client.cancel([unit])
    told.read_text()
    agent.kill(agent.head)
    bench.client.wait_for_ends([unit])
    assert bench.client.letters([unit]) == ["C"]
    assert bench.client.reason(unit) == "canceled"
    assert bench.log.started_again() == 0


def test_units_of_a_killed_agent_end_elsewhere(bench: FaultBench) -> None:
    agent = bench.start_agent()
    bench.start_agent("p-bbbbbbbb")
    units = bench.client.submit([bench.log.payload()] * UNITS)
    bench.wait_for_ended(UNITS // 4)
    agent.kill_whole()
    began_s = time.monotonic()
    bench.client.wait_for_pilot(agent.pilot, "Failed")
    moved_s = time.monotonic() - began_s
    bench.check_all_done(units)
    bench.tell("agent killed", lost=0, twice=0, units_elsewhere_s=moved_s)


def test_a_killed_executor_is_replaced(bench: FaultBench) -> None:
    agent = bench.start_agent()
    units = bench.client.submit([bench.log.payload()] * UNITS)
    bench.wait_for_ended(UNITS // 4)
    recovery_s = bench.recovery_s(lambda: agent.kill(agent.executors[0]))
    bench.check_all_done(units)
    assert len(agent.executors) == CORES
    bench.tell(
        "executor killed",
        lost=0,
        twice=0,
        recovery_s=recovery_s,
        after_end=len(bench.log.started_after_end()),
    )


def test_an_agent_that_stood_still_for_longer_than_its_lease_ends_and_changes_nothing(
    bench: FaultBench,
) -> None:
    agent = bench.start_agent(options={"executors": 1})
    units = bench.client.submit([bench.log.payload("sleep 0.02")] * 200)
    bench.wait_for_ended(20)
    head = agent.head
    os.kill(head, signal.SIGSTOP)
    bench.start_agent("p-bbbbbbbb")
    bench.client.wait_for_pilot(agent.pilot, "Failed")
    os.kill(head, signal.SIGCONT)
    assert agent.wait() == 4
    assert agent.left_after() == []
    bench.check_all_done(units)
    bench.tell("head stopped", lost=0, twice=0)


@pytest.mark.parametrize("victims", ["$executor", "$head $executor"])
def test_a_unit_that_kills_its_agent_fails_and_all_others_are_done(bench: FaultBench, victims: str) -> None:
    agent = bench.start_agent()
    # What runs beside it is killed as often as it is, and not to blame.
    others = Request(max_restarts=100)
    before = bench.client.submit([bench.log.payload()] * 200, others)
    poison = f"executor=$PPID; head=$(cut -d' ' -f4 /proc/$PPID/stat); kill -9 {victims}"
    (bad,) = bench.client.submit([bench.log.payload(poison)], Request(max_restarts=3))
    after = bench.client.submit([bench.log.payload()] * 200, others)
    bench.check_all_done([*before, *after])
    bench.client.wait_for_ends([bad])
    assert bench.client.letters([bad]) == ["F"]
    assert bench.client.reason(bad) == "lost"
    assert bench.log.starts()[bad] == 4
    assert agent.process.poll() is None
    bench.tell(f"poison unit kills {victims}", lost=0, twice=0)
