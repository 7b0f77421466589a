"""What is left when Redis is killed, comes back without its last second, is away, is full, or loses what passes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from agent_harness import FaultBench, fault_bench
from cutting_relay import CuttingRelay
from marked_processes import wait_for_end
from protocol_client import Request

pytestmark = pytest.mark.faults

UNITS = 1000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FaultBench]:
    with fault_bench(tmp_path) as bench:
        yield bench


def test_a_killed_server_that_kept_everything_loses_nothing(tmp_path: Path) -> None:
    with fault_bench(tmp_path, appends=True) as bench:
        bench.start_agent()
        units = bench.client.submit([bench.log.payload()] * UNITS)
        bench.wait_for_ended(UNITS // 4)
        bench.server.kill()
        recovery_s = bench.recovery_s(bench.server.start)
        bench.check_all_done(units)
        assert bench.log.started_again() == 0
        bench.tell("server killed", lost=0, twice=0, recovery_s=recovery_s)


def test_a_server_that_went_back_in_time_loses_nothing_and_repeats_nothing(bench: FaultBench) -> None:
    bench.start_agent()
    units = bench.client.submit([bench.log.payload()] * UNITS)
    bench.wait_for_ended(UNITS // 4)
    bench.server.save()
    units += bench.client.submit([bench.log.payload()] * UNITS)
    bench.wait_for_ended(UNITS // 2)
    bench.server.kill()
    recovery_s = bench.recovery_s(bench.server.start)
    bench.check_all_done(units, server_forgot=True)
    assert bench.log.started_again() == 0
    bench.tell("server rolled back", lost=0, twice=0, recovery_s=recovery_s)


def test_a_server_that_has_forgotten_an_end_hears_it_as_it_was(bench: FaultBench) -> None:
    bench.start_agent()
    forever = bench.client.submit([bench.log.payload("while :; do sleep 600; done")] * 2)
    bench.client.wait(lambda seen: seen.in_state("R") == set(forever))
    bench.server.save()
    bench.client.cancel(forever)
    bench.client.wait_for_ends(forever)
    bench.server.kill()
    bench.server.start()
    bench.client.wait(lambda _: bench.client.counts() == {"C": 2})
    assert {bench.client.reason(name) for name in forever} == {"canceled"}


def test_an_emptied_server_learns_that_a_unit_has_started_and_it_does_not_start_again(
    bench: FaultBench,
) -> None:
    first = bench.start_agent()
    payload = bench.log.payload("while :; do sleep 600; done", max_restarts=0)
    (once,) = bench.client.submit([payload], Request(max_restarts=0))
    bench.client.wait(lambda _: bench.log.starts() == {once: 1})  # the agent has heard that its R was taken
    bench.server.kill()
    bench.server.start()
    bench.client.wait(lambda _: bench.client.letters([once]) == ["R"])
    bench.start_agent("p-bbbbbbbb")
    first.kill_whole()
    bench.client.wait_for_ends([once])
    assert (bench.client.letters([once]), bench.client.reason(once)) == (["F"], "lost")
    assert bench.log.starts() == {once: 1}


def test_lost_requests_and_replies_change_nothing(bench: FaultBench) -> None:
    with closing(CuttingRelay(bench.server.port, loss=0.01, seed=1)) as relay:
        bench.client.url = bench.server.url_at(relay.port)
        bench.client.reconnect()
        bench.start_agent(url=bench.server.url_at(relay.port))
        units: list[str] = []
        while relay.cuts < 10:
            units += bench.client.submit([bench.log.payload()] * 100)
            bench.wait_for_ended(len(units) - 50)
        bench.check_all_done(units)
        assert bench.log.started_again() == 0
        bench.tell("pieces lost", lost=0, twice=0, cuts=relay.cuts, units=len(units))


def test_units_end_before_the_lease_of_an_agent_without_redis_and_run_again_after(bench: FaultBench) -> None:
    with closing(CuttingRelay(bench.server.port)) as relay:
        agent = bench.start_agent(url=bench.server.url_at(relay.port))
        units = bench.client.submit([bench.log.payload('[ "$PILOT_UNIT_ATTEMPT" != 1 ] || sleep 600')] * 2)
        bench.client.wait(lambda seen: seen.in_state("R") == set(units))
        sleeping = [pid for pid, command in agent.everything().items() if command.startswith("sleep")]
        relay.turn_away()
        assert all(wait_for_end(pid) for pid in sleeping)
        recovery_s = bench.recovery_s(relay.let_pass)
        bench.check_all_done(units)
        assert bench.log.started_again() == 2
        bench.tell("redis away", lost=0, twice=0, recovery_s=recovery_s)


def test_units_may_go_on_without_redis(bench: FaultBench) -> None:
    gate = bench.folder / "gate"
    with closing(CuttingRelay(bench.server.port)) as relay:
        bench.start_agent(url=bench.server.url_at(relay.port), options={"on_partition": "continue"})
        units = bench.client.submit([bench.log.payload(f"until [ -e {gate} ]; do sleep 0.05; done")] * 2)
        bench.client.wait(lambda seen: seen.in_state("R") == set(units))
        relay.turn_away()
        time.sleep(1.5 * bench.client.lease_s)  # the fault itself: nothing happens in this time
        gate.touch()
        bench.recovery_s(relay.let_pass)
        bench.check_all_done(units)
        assert bench.log.started_again() == 0


def test_a_full_server_refuses_new_units_and_takes_results(bench: FaultBench) -> None:
    gate = bench.folder / "gate"
    agent = bench.start_agent()
    first = bench.client.submit([bench.log.payload(f"until [ -e {gate} ]; do sleep 0.05; done")] * 2)
    bench.client.wait(lambda seen: seen.in_state("R") == set(first))
    waiting = bench.client.submit([bench.log.payload()] * 10)
    bench.client.redis.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.ResponseError, match="maxmemory"):
        bench.client.submit([bench.log.payload()])
    gate.touch()
    bench.client.wait_for_ends(first)
    assert bench.client.letters(first) == ["D", "D"]
    time.sleep(1.5 * bench.client.lease_s)  # the fault itself: heartbeats must pass for longer than a lease
    bench.client.redis.config_set("maxmemory", 0)
    bench.check_all_done([*first, *waiting])
    assert agent.process.poll() is None
    assert bench.client.seen.pilots[agent.pilot] == "Running"
    assert bench.log.started_again() == 0
