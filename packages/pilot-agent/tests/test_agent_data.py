"""Units with data on real agents, whose mover is a stand-in: it moves nothing, and does what the tests want."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import stand_in_mover
from live_agent import PILOT, LiveAgent, LiveSession, live_session

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 10),
    reason="movers need Python 3.10; what happens without one is in test_mover_link",
)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LiveSession]:
    with live_session(tmp_path) as session:
        yield session


@pytest.fixture
def agent(session: LiveSession) -> LiveAgent:
    package = session.folder / "python" / "pilot_data"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(stand_in_mover.__file__, package / "node.py")
    agent = session.start_agent(
        environment={"PYTHONPATH": str(package.parent)},
        options={"grace_s": 0.5, "cache_mb": 7, "mover_transfers": 3},
    )
    session.wait_for_pilot("Running")
    return agent


def heard(session: LiveSession, verb: str = "") -> list[dict[str, Any]]:
    """Return what movers were asked, or only what begins with this verb."""
    path = Path(session.folder, PILOT, "mover.heard")
    lines = path.read_text().splitlines() if path.exists() else []
    return [said for said in map(json.loads, lines) if not verb or said.get("do") == verb]


def process(agent: LiveAgent, word: str) -> int:
    """Return the pid of the agent's process whose command line has a word."""
    (pid,) = [pid for pid, command in agent.commands().items() if word in command.split()]
    return pid


class Meeting:
    """A pipe at which movers wait until the test lets them all go on."""

    def __init__(self, session: LiveSession) -> None:
        self.session = session
        path = session.folder / "meeting"
        os.mkfifo(path)
        self.pattern = f"meet {path}"
        self._pipe = os.open(path, os.O_RDWR)

    def wait(self, verb: str, times: int = 1) -> None:
        """Wait until movers have heard so many requests."""
        self.session.wait(lambda: len(heard(self.session, verb)) == times)

    def end(self) -> None:
        os.write(self._pipe, bytes(100))

    def close(self) -> None:
        os.close(self._pipe)


@pytest.fixture
def meeting(session: LiveSession) -> Iterator[Meeting]:
    with closing(Meeting(session)) as meeting:
        yield meeting


def test_input_is_there_when_a_unit_starts_and_its_output_goes_out(
    session: LiveSession, agent: LiveAgent
) -> None:
    (name,) = session.submit(
        "pwd; cat in.txt > out.txt",
        input_data={"du-i": ["in.txt"]},
        output_data={"du-o": ["out.txt"]},
        file_transfer=["a > b", "c < d"],
    )
    session.wait_for([name], "D")
    assert session.states[name][-3:] == ["S", "R", "D"]
    folder = f"{agent.sandbox}/{name}"
    assert session.result(name).stdout == f"{folder}\n"
    assert Path(folder, "out.txt").read_text() == "moved by a stand-in"
    session.wait(lambda: len(heard(session)) >= 5)
    greeting, epoch, *requests = heard(session)
    said = {key: greeting[key] for key in ("pilot", "label", "cache_mb", "transfers", "fresh", "key_hex")}
    assert said == {
        "pilot": PILOT, "label": ",", "cache_mb": 7, "transfers": 3, "fresh": True, "key_hex": 64,
    }  # fmt: skip
    assert epoch["epoch"] == session.pilot()["epoch"]
    common = {"unit": name, "attempt": 1, "mover": greeting["mover"]}
    assert requests == [
        {"do": "in", **common, "folder": folder, "data": {"du-i": ["in.txt"]}, "transfers": ["a > b"]},
        {"do": "out", **common, "folder": folder, "data": {"du-o": ["out.txt"]}, "transfers": ["c < d"]},
        {"do": "release", **common},
    ]


@pytest.mark.usefixtures("agent")
def test_a_units_own_working_directory_is_where_its_data_goes(session: LiveSession) -> None:
    (name,) = session.submit(
        "cat in.txt",
        input_data={"du-i": ["in.txt"]},
        working_directory="shared/${PILOT_UNIT_ID}",
        expand_arguments=True,
    )
    session.wait_for([name], "D")
    assert session.result(name).stdout == "moved by a stand-in"
    assert heard(session, "in")[0]["folder"] == f"{session.folder}/{PILOT}/shared/{name}"


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(("key", "place"), [("input_data", "in"), ("output_data", "out")])
def test_a_unit_whose_files_cannot_be_moved_fails_with_the_reason(
    session: LiveSession, key: str, place: str
) -> None:
    (name,) = session.submit("echo ran", **{key: {"du-i": ["fail nobody has it"]}})
    session.wait_for([name], "F")
    result = session.result(name)
    assert result.reason == "staging"
    assert result.message == f"its {key[: -len('_data')]} could not be moved {place}: nobody has it"
    assert result.stdout == ("ran\n" if place == "out" else None)


@pytest.mark.usefixtures("agent")
def test_a_failed_unit_keeps_its_output_only_if_it_is_asked_to(session: LiveSession) -> None:
    output = {"du-o": ["out.txt"]}
    kept, left = session.submit("touch out.txt; exit 3", output_data=output, keep_failed_outputs=True) + (
        session.submit("touch out.txt; exit 3", output_data=output)
    )
    session.wait_for([kept, left], "F")
    assert [said["unit"] for said in heard(session, "out")] == [kept]
    assert {session.result(name).exit_code for name in (kept, left)} == {3}


@pytest.mark.usefixtures("agent")
def test_a_unit_is_canceled_while_its_input_is_on_its_way_and_others_run_meanwhile(
    session: LiveSession, meeting: Meeting
) -> None:
    (name,) = session.submit("echo ran", input_data={"du-i": [meeting.pattern]})
    meeting.wait("in")
    others = session.submit("true", "true", "true")
    session.wait_for(others, "D")
    session.cancel(name)
    session.wait_for([name], "C")
    assert session.states[name][-2:] == ["S", "C"]


def test_what_a_mover_that_is_killed_has_not_answered_is_asked_of_the_next_one(
    session: LiveSession, agent: LiveAgent, meeting: Meeting
) -> None:
    (name,) = session.submit("cat in.txt", input_data={"du-i": ["in.txt", meeting.pattern]})
    meeting.wait("in")
    os.kill(process(agent, "pilot_data.node"), signal.SIGKILL)
    meeting.wait("in", 2)
    meeting.end()
    session.wait_for([name], "D")
    first, second = heard(session, "in")
    assert first.pop("mover") != second.pop("mover")
    assert first == second
    assert [said["fresh"] for said in heard(session) if "fresh" in said] == [True, True], (
        "nobody used anything"
    )


def test_an_agent_whose_head_is_killed_delivers_what_has_ended_and_runs_nothing_twice(
    session: LiveSession, agent: LiveAgent, meeting: Meeting
) -> None:
    (name,) = session.submit("echo ran >> out.txt", output_data={"du-o": ["out.txt", meeting.pattern]})
    meeting.wait("out")
    os.kill(process(agent, "--head"), signal.SIGKILL)
    meeting.wait("out", 2)
    assert "D" not in session.states[name]
    meeting.end()
    session.wait_for([name], "D")
    assert Path(agent.sandbox, name, "out.txt").read_text() == "ran\n"
    first, second = heard(session, "out")
    assert first.pop("mover") != second.pop("mover")
    assert first == second
    assert [said["fresh"] for said in heard(session) if "fresh" in said] == [True, True]


def test_a_pilot_that_is_stopped_leaves_no_mover_and_sends_back_what_it_could_not_finish(
    session: LiveSession, agent: LiveAgent, meeting: Meeting
) -> None:
    (ended,) = session.submit("true", output_data={"du-o": [meeting.pattern]})
    meeting.wait("out")
    (staged,) = session.submit("true", input_data={"du-i": [meeting.pattern]})
    meeting.wait("in")
    os.kill(process(agent, "--head"), signal.SIGTERM)
    agent.wait()
    session.wait_for([ended, staged], "C")  # nobody else is there to take what was submitted to this pilot
    assert [said["unit"] for said in heard(session, "cancel")] == [staged, ended]
    assert session.states[ended][-3:] == ["R", "N", "C"]
    assert session.states[staged][-3:] == ["S", "N", "C"]
    assert agent.below() == []


def test_an_executor_that_is_killed_does_not_take_the_mover_with_it(
    session: LiveSession, agent: LiveAgent, meeting: Meeting
) -> None:
    (name,) = session.submit("cat in.txt", input_data={"du-i": ["in.txt", meeting.pattern]})
    meeting.wait("in")
    mover = process(agent, "pilot_data.node")
    for pid, command in agent.commands().items():
        if "pilot_agent.node.executor" in command:
            os.kill(pid, signal.SIGKILL)
    session.wait_for(session.submit("true"), "D")
    meeting.end()
    session.wait_for([name], "D")
    assert process(agent, "pilot_data.node") == mover
