"""A whole agent with several nodes, all of which are this machine: who comes, who is left out, what is killed and comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent_bundle import write_bundle
from fake_nodes import blind_node, break_node, pbs_job, silence_node
from live_agent import PILOT, LiveAgent, LiveSession, live_session
from marked_processes import wait_for_end
from pilot_agent.exit_codes import ENDED
from pilot_agent.node.handshake import HELLO_BYTES

NODES = {"n1": 1, "n2": 1, "n3": 2}
OWN = socket.gethostname()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LiveSession]:
    with live_session(tmp_path) as session:
        yield session


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    return pbs_job(tmp_path / "job", NODES)


def pids(agent: LiveAgent, *words: str) -> list[int]:
    """Return the agent's processes whose command line has all these words."""
    return [pid for pid, command in agent.commands().items() if all(word in command for word in words)]


def far_executor_of(agent: LiveAgent, node: str) -> int:
    (warden,) = pids(agent, "node --settings", f"--name {node}")
    (executor,) = [pid for pid in agent.below(warden) if pid in pids(agent, "far_executor")]
    return executor


def lasting(processes: Sequence[int]) -> list[int]:
    """Return those processes that do not end."""
    return [pid for pid in processes if not wait_for_end(pid)]


def check_end(agent: LiveAgent) -> None:
    """End the agent; nothing of it may be left."""
    below = agent.below()
    agent.process.terminate()
    assert agent.wait() == ENDED
    assert lasting(below) == []


def test_units_run_on_all_nodes_and_know_where_they_are(session: LiveSession, job: dict[str, str]) -> None:
    agent = session.start_agent(environment=job, cores=None)
    units = session.submit(*['echo "$PILOT_UNIT_NODES:$PILOT_UNIT_CORES:$FAKE_NODE"; exec sleep 0.1'] * 40)
    session.wait_for(units, "D")
    record = session.pilot()
    wanted = {"cores": "4", "node_cores": "2", "nodes": f"{OWN},n2,n3", "gpus": "0"}
    assert {name: record[name] for name in wanted} == wanted
    results = [session.result(unit) for unit in units]
    assert {result.node for result in results} == {OWN, "n2", "n3"}
    for result in results:
        fake = "" if result.node == OWN else result.node
        assert result.stdout == f"{result.node}:{result.cores}:{fake}\n"
    check_end(agent)


def test_a_pilot_uses_the_cores_that_were_asked_for_and_no_more(
    session: LiveSession, job: dict[str, str]
) -> None:
    session.start_agent(environment=job, cores=3)
    session.wait_for_pilot("Running")
    record = session.pilot()
    assert (record["cores"], record["nodes"]) == ("3", f"{OWN},n2,n3")


def test_units_of_all_nodes_inherit_what_those_of_the_first_one_do(
    session: LiveSession, job: dict[str, str]
) -> None:
    session.start_agent(environment={**job, "FROM_THE_JOB": "a value"}, cores=None)
    units = session.submit(*['echo "$FROM_THE_JOB"; exec sleep 0.1'] * 8)
    session.wait_for(units, "D")
    assert {session.result(unit).stdout for unit in units} == {"a value\n"}
    assert {session.result(unit).node for unit in units} == {OWN, "n2", "n3"}


def test_a_node_that_does_not_come_is_left_out_and_its_launch_tells_why(
    session: LiveSession, job: dict[str, str], tmp_path: Path
) -> None:
    break_node(tmp_path / "job", "n3")
    agent = session.start_agent(environment=job, cores=None)
    (unit,) = session.submit("true")
    session.wait_for([unit], "D")
    assert session.pilot()["nodes"] == f"{OWN},n2"
    wanted = "the pilot does without node n3: ssh: connect to host n3 port 22: No route to host"
    assert wanted in agent.said


def test_a_node_that_does_not_answer_is_waited_for_as_long_as_the_options_say(
    session: LiveSession, job: dict[str, str], tmp_path: Path
) -> None:
    silence_node(tmp_path / "job", "n3")
    agent = session.start_agent(environment=job, cores=None, options={"node_patience_s": 1})
    session.wait_for_pilot("Running")
    assert "the pilot does without node n3: it has not come within 1 s" in agent.said
    check_end(agent)


def test_a_node_that_does_not_see_the_settings_says_so(
    session: LiveSession, job: dict[str, str], tmp_path: Path
) -> None:
    blind_node(tmp_path / "job", "n2", tmp_path / "nowhere.json")
    agent = session.start_agent(environment=job, cores=None)
    session.wait_for_pilot("Running")
    assert (
        f"the pilot does without node n2: node n2: the pilot's settings {tmp_path}/nowhere.json cannot be read: "
        "No such file or directory; the pilot's working_directory must be on a file system that all of its nodes share"
    ) in agent.said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"key": "ab" * 32}, "the head has another key: it belongs to another pilot or session"),
        ({"pilot": "p-bbbbbbbb"}, "the head has another key"),
        ({"sandbox": "/nowhere"}, "the pilot's sandbox /nowhere is not here; the pilot's working_directory"),
    ],
)
def test_a_node_with_other_settings_is_not_let_in(
    session: LiveSession, job: dict[str, str], tmp_path: Path, change: dict[str, str], why: str
) -> None:
    other = tmp_path / "other.json"
    other.touch(mode=0o600)
    settings = {"key": session.key.hex(), "pilot": PILOT, "sandbox": str(tmp_path / PILOT)}
    other.write_text(json.dumps({**settings, **change}))
    blind_node(tmp_path / "job", "n2", other)
    agent = session.start_agent(environment=job, cores=None)
    session.wait_for_pilot("Running")
    assert session.pilot()["nodes"] == f"{OWN},n3"
    assert "the pilot does without node n2: node n2: " in agent.said
    assert why in agent.said


def test_an_executor_that_is_killed_comes_back_and_only_its_units_start_again(
    session: LiveSession, job: dict[str, str]
) -> None:
    agent = session.start_agent(environment=job, cores=None)
    units = session.submit(*['[ "$PILOT_UNIT_ATTEMPT" != 1 ] || exec sleep 600'] * 4)
    session.wait_for(units, "R")
    executor = far_executor_of(agent, "n3")
    of_node = agent.below(executor)
    os.kill(executor, signal.SIGKILL)
    session.wait(lambda: sum("D" in session.states[unit] for unit in units) == 2)
    assert lasting(of_node) == []
    assert "node.back n3" in agent.said
    assert session.pilot()["nodes"] == f"{OWN},n2,n3"
    again = session.submit(*['echo "$PILOT_UNIT_NODES"; exec sleep 0.1'] * 6)
    session.wait_for(again, "D")
    assert {session.result(unit).node for unit in again} == {"n3"}
    check_end(agent)


def test_a_warden_that_is_killed_takes_its_node_along_and_the_rest_goes_on(
    session: LiveSession, job: dict[str, str]
) -> None:
    agent = session.start_agent(environment=job, cores=None)
    units = session.submit(*['[ "$PILOT_UNIT_NODES" != n3 ] || exec sleep 600'] * 20)
    session.wait(lambda: sum("R" in session.states.get(unit, ()) for unit in units) >= 2)
    (warden,) = pids(agent, "node --settings", "--name n3")
    of_node = agent.below(warden)
    os.kill(warden, signal.SIGKILL)
    session.wait_for(units, "D")
    assert lasting(of_node) == []
    assert "node.lost n3" in agent.said
    assert {session.result(unit).node for unit in units} <= {OWN, "n2"}
    check_end(agent)


def test_a_head_that_is_killed_takes_all_nodes_along_and_the_next_one_calls_them_again(
    session: LiveSession, job: dict[str, str]
) -> None:
    agent = session.start_agent(environment=job, cores=None)
    units = session.submit(
        *['[ "$PILOT_UNIT_ATTEMPT" != 1 ] || exec sleep 600; echo "$PILOT_UNIT_NODES"'] * 4
    )
    session.wait_for(units, "R")
    (head,) = pids(agent, "--head", "--started")
    before = agent.below(head)
    os.kill(head, signal.SIGKILL)
    session.wait_for(units, "D")
    assert lasting(before) == []
    assert Counter(agent.said.split())["nodes.called"] == 2
    check_end(agent)


def test_the_agent_of_one_file_serves_other_nodes(
    session: LiveSession, job: dict[str, str], tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "pilot-agent.pyz")
    agent = session.start_agent(command=[sys.executable, "-I", str(bundle)], environment=job, cores=None)
    units = session.submit(*["exec sleep 0.1"] * 8)
    session.wait_for(units, "D")
    assert {session.result(unit).node for unit in units} == {OWN, "n2", "n3"}
    assert len(pids(agent, str(bundle), "far_executor")) == 2
    check_end(agent)


def test_no_secret_is_on_a_command_line(session: LiveSession, job: dict[str, str]) -> None:
    agent = session.start_agent(environment=job, cores=None)
    session.wait_for_pilot("Running")
    assert not pids(agent, session.key.hex())


def test_whoever_knocks_without_the_key_is_dropped_and_nobody_notices(
    session: LiveSession, job: dict[str, str]
) -> None:
    agent = session.start_agent(environment=job, cores=None)
    session.wait_for_pilot("Running")
    (warden,) = pids(agent, "node --settings", "--name n2")
    words = agent.commands()[warden].split()
    host, _, port = words[words.index("--head") + 1].split(",")[0].rpartition(":")
    with socket.create_connection((host, int(port)), 10) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n".ljust(HELLO_BYTES))
        stranger.settimeout(10)
        assert stranger.recv(100) == b""
    units = session.submit(*["exec sleep 0.1"] * 8)
    session.wait_for(units, "D")
    assert "not from a node of a pilot" in agent.said
