"""How an agent ends: told to, taken over, or because it cannot work at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_harness import AgentProcess, FaultBench, fault_bench
from pilot_protocol import reads
from redis_process import unused_port

pytestmark = pytest.mark.faults

REFUSED = 3
PILOT_ENDED = 4
FOREVER = "while :; do sleep 600; done"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FaultBench]:
    with fault_bench(tmp_path) as bench:
        yield bench


def last_words(agent: AgentProcess) -> str:
    return agent.said.splitlines()[-1]


@pytest.mark.parametrize("verb", ["stop", "drain"])
def test_an_agent_that_is_told_to_end_leaves_nothing(bench: FaultBench, verb: str) -> None:
    gate = bench.folder / "gate"
    wait = f"until [ -e {gate} ]; do sleep 0.02; done" if verb == "drain" else FOREVER
    agent = bench.start_agent()
    running = bench.client.submit([bench.log.payload(wait)] * 2)
    bench.client.wait(lambda seen: seen.in_state("R") == set(running))
    waiting = bench.client.submit([bench.log.payload()] * 10)
    bench.client.tell(agent.pilot, verb)
    gate.touch()
    assert agent.wait() == 0
    assert agent.left_after() == []
    assert bench.client.query(reads.pilot(bench.client.keys, agent.pilot))["state"] == (
        b"Canceled" if verb == "stop" else b"Done"
    )
    assert bench.client.letters(running) == (["N", "N"] if verb == "stop" else ["D", "D"])
    assert bench.client.letters(waiting) == ["N"] * 10
    assert bench.log.never_started(waiting) == waiting


def test_an_agent_that_gets_sigterm_says_so_and_gives_everything_back(bench: FaultBench) -> None:
    agent = bench.start_agent()
    units = bench.client.submit([bench.log.payload(FOREVER)] * 4)
    bench.client.wait(lambda seen: len(seen.in_state("R")) == 2)
    agent.process.terminate()
    assert agent.wait() == 0
    assert agent.left_after() == []
    assert bench.client.letters(units) == ["N"] * 4
    record = bench.client.query(reads.pilot(bench.client.keys, agent.pilot))
    assert (record["state"], record["reason"]) == (b"Canceled", b"terminated")


def test_an_agent_that_gets_sigterm_does_not_wait_long_for_a_redis_that_is_gone(bench: FaultBench) -> None:
    agent = bench.start_agent()
    bench.client.submit([bench.log.payload(FOREVER)] * 2)
    bench.client.wait(lambda seen: len(seen.in_state("R")) == 2)
    bench.server.kill()
    agent.process.terminate()
    assert agent.wait() == REFUSED
    assert agent.left_after() == []
    bench.server.start()


def test_a_second_agent_of_a_pilot_takes_over_and_the_first_one_goes(bench: FaultBench) -> None:
    first = bench.start_agent()
    units = bench.client.submit([bench.log.payload('[ "$PILOT_UNIT_ATTEMPT" != 1 ] || sleep 600')] * 2)
    bench.client.wait(lambda seen: seen.in_state("R") == set(units))
    second = bench.launch(first.pilot, sandbox=str(bench.folder / "second"))
    assert first.wait() == PILOT_ENDED
    assert first.left_after() == []
    bench.check_all_done(units)
    assert second.process.poll() is None


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_is_refused_in_words_that_help(tmp_path: Path, password: str) -> None:
    with fault_bench(tmp_path, password="right") as bench:
        user = f":{password}@" if password else ""
        agent = bench.launch(url=f"redis://{user}127.0.0.1:{bench.server.port}")
        assert agent.wait() == REFUSED
        assert agent.left_after() == []
        assert "refuses the password" in last_words(agent)
        assert "start the pilot again with the server's present password" in last_words(agent)
        assert "right" not in agent.said


def test_a_redis_that_is_not_there_is_looked_for_and_then_named(bench: FaultBench) -> None:
    port = unused_port()
    agent = bench.launch(url=f"redis://127.0.0.1:{port}", options={"lost_timeout_s": 0.3})
    assert agent.wait() == REFUSED
    assert agent.left_after() == []
    assert str(port) in last_words(agent)
    assert "see whether the server runs" in last_words(agent)


def test_a_session_of_another_protocol_is_refused_with_both_versions(tmp_path: Path) -> None:
    with fault_bench(tmp_path, protocol="2.0") as bench:
        bench.client.prepare_pilot("p-aaaaaaaa")
        agent = bench.launch()
        assert agent.wait() == REFUSED
        assert agent.left_after() == []
        for words in ("2.0", "1.0", "install the same major version"):
            assert words in last_words(agent)


def test_settings_that_others_may_read_are_refused(bench: FaultBench) -> None:
    agent = bench.start_agent()
    settings = bench.folder / f"{agent.pilot}.json"
    settings.chmod(0o640)
    agent.kill(agent.head)
    assert agent.wait() == REFUSED
    assert f"chmod 600 {settings}" in last_words(agent)
