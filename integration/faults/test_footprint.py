"""What an agent costs when it has done much, and when it has nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_harness import FaultBench, fault_bench
from pilot_protocol.scripts import knows_flags, script

pytestmark = pytest.mark.faults

UNITS = 100_000
BATCH = 10_000
GROWTH_KB = 10_000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FaultBench]:
    with fault_bench(tmp_path, lease_s=3.0) as bench:
        yield bench


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_memory_does_not_grow_with_the_number_of_units(bench: FaultBench) -> None:
    agent = bench.start_agent()
    processes = [agent.head, *agent.executors]
    units: list[str] = []
    for _ in range(UNITS // BATCH):
        units += bench.client.submit([{"executable": "/bin/true"}] * BATCH)
    bench.client.wait(lambda _: bench.client.counts().get("D", 0) >= UNITS // 5, 200.0)
    early = [agent.memory_kb(pid) for pid in processes]
    bench.client.wait(lambda _: bench.client.counts() == {"D": UNITS}, 300.0)
    late = [agent.memory_kb(pid) for pid in processes]
    growth = [after - before for before, after in zip(early, late, strict=True)]
    bench.tell("memory", early_kb=early, late_kb=late, journal_kb=_size_kb(agent.sandbox / "journal"))
    assert max(growth) < GROWTH_KB


def _size_kb(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir()) // 1024


def test_an_idle_agent_sends_heartbeats_and_nothing_else(bench: FaultBench) -> None:
    bench.start_agent()
    units = bench.client.submit([bench.log.payload()] * 100)
    bench.check_all_done(units)
    version = bench.client.redis.info("server")["redis_version"]
    beat = script("beat_pilot", flags=knows_flags(str(version))).digest
    said: list[str] = []
    with bench.client.redis.monitor() as monitor:
        while sum(beat in command for command in said) < 4:
            heard = monitor.next_command()
            if heard["client_type"] != "lua":
                said.append(heard["command"])
    # Ends that came last may have been followed by a claim; from the first heartbeat on there is nothing else.
    first = next(number for number, command in enumerate(said) if beat in command)
    assert all(beat in command for command in said[first:]), said
