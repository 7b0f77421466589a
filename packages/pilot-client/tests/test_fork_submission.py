"""Pilots on this machine, with programs of the test in the agent's place."""

from __future__ import annotations

import json
import os
import queue
import select
import socket
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilot.submission import AgentEnd, PilotOrder, Ways
from pilot.submission.fork import ForkPlaceholder, ForkSubmitter
from pilot_protocol.compute_descriptions import validate_pilot_compute
from pilot_protocol.errors import DescriptionError, SubmissionError, TransferError
from pilot_protocol.specs import PilotSpec
from pilot_session import coordination_url

LIMIT_S = 30.0
SETTINGS = {"coordination_url": "redis://:s3cret@h:6379/0", "session": "s-1", "key": "0f", "lease_s": 30}

Ends = queue.Queue[AgentEnd]
Submit = Callable[..., ForkPlaceholder]


@pytest.fixture
def ends() -> Ends:
    """What was told of agents that ended."""
    return queue.Queue()


@pytest.fixture
def submit(tmp_path: Path, ends: Ends) -> Submit:
    """Submits a pilot whose agent is a program of the test, given as lines of shell."""

    def call(program: str = "exit 0", **description: Any) -> ForkPlaceholder:
        script = tmp_path / "agent"
        script.write_text(f"#!/bin/sh\n{program}\n")
        script.chmod(0o700)
        given = {"service_url": "fork://localhost", "number_of_processes": 1, "python": str(script)}
        given |= {"working_directory": str(tmp_path / "work"), **description}
        spec = PilotSpec.from_payload(validate_pilot_compute(given))
        return ForkSubmitter().submit(PilotOrder("p-aaaaaaaa", spec, SETTINGS), ends.put)

    return call


def test_the_scheme_finds_the_way() -> None:
    ways = Ways(coordination_url.parse("redis://localhost"))
    spec = PilotSpec("fork://localhost")
    assert isinstance(ways.submitter_for(spec), ForkSubmitter)
    assert ways.submitter_for(spec) is ways.submitter_for(spec)
    ways.close()


def test_the_end_of_an_agent_is_told_with_its_last_words(submit: Submit, ends: Ends) -> None:
    submit("echo no such module >&2; exit 3")
    assert ends.get(timeout=LIMIT_S) == AgentEnd("p-aaaaaaaa", 3, "no such module\n")


def test_the_agent_counts_as_alive_until_its_last_process_is_gone(
    submit: Submit, ends: Ends, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    submit(f"(read line < {gate}; echo child >&2) & exit 0")
    gate.write_text("go\n")  # returns when the child has opened the other end, which outlives its parent
    assert ends.get(timeout=LIMIT_S) == AgentEnd("p-aaaaaaaa", 0, "child\n")


def test_killing_an_agent(submit: Submit, ends: Ends) -> None:
    placeholder = submit("exec sleep 1000")
    assert placeholder.job.isdigit()
    assert not placeholder.wait(0)
    placeholder.kill()
    assert placeholder.wait(LIMIT_S)
    assert ends.get_nowait() == AgentEnd("p-aaaaaaaa", -9, "")
    placeholder.kill()


def test_an_agent_that_was_reaped_is_not_killed_while_its_end_is_told(
    submit: Submit, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    go_on = threading.Event()
    monkeypatch.setattr("pilot.submission.fork.kill_session", killed.append)

    def tell(end: AgentEnd) -> None:
        Ends.put(ends, end)
        go_on.wait(LIMIT_S)

    monkeypatch.setattr(ends, "put", tell)
    placeholder = submit()
    ends.get(timeout=LIMIT_S)
    placeholder.kill()
    go_on.set()
    assert placeholder.wait(LIMIT_S)
    assert killed == [], "its number may be another process's by now"


LEAVE = "import os; os.{}; print(os.getpid(), flush=True); os.execvp('sleep', ['sleep', '1000'])"


@pytest.mark.parametrize("how", ["setpgid(0, 0)", "setsid()"])
def test_killing_an_agent_that_stands_still_kills_what_it_has_started(
    submit: Submit, ends: Ends, tmp_path: Path, how: str
) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    unit = f'trap "" TERM; {sys.executable} -c "{LEAVE.format(how)}" > {told} &'
    placeholder = submit(f"{unit}\nkill -STOP $$")
    with told.open() as pipe:
        assert int(pipe.readline()) > 0
    placeholder.kill()
    assert placeholder.wait(LIMIT_S), "the unit holds the lifeline, too"
    assert ends.get_nowait().exit_code == -9


def test_an_agent_whose_processes_all_died_leaves_no_unit_behind(
    submit: Submit, ends: Ends, tmp_path: Path
) -> None:
    told, gate = tmp_path / "told", tmp_path / "gate"
    os.mkfifo(told)
    os.mkfifo(gate)
    close = "import json, sys; os.close(json.load(open(sys.argv[1]))['lifeline_fd']); os.setpgid(0, 0)"
    program = LEAVE.replace("os.{}", close)
    submit(f'{sys.executable} -c "{program}" "$4" > {told} &\nread line < {gate}; exit 1')
    with told.open() as pipe:
        unit = os.pidfd_open(int(pipe.readline()))
    gate.write_text("go\n")
    assert ends.get(timeout=LIMIT_S).exit_code == 1
    assert select.select([unit], [], [], LIMIT_S)[0]
    os.close(unit)


def test_what_is_in_the_sandbox_is_private_and_complete(submit: Submit, ends: Ends, tmp_path: Path) -> None:
    submit(
        number_of_processes=1,
        walltime=2,
        gpus_per_node=3,
        memory_per_node_mb=4,
        affinity_datacenter_label="d 1",
        environment={"A": "b"},
        agent_options={"executors": 1},
    )
    ends.get(timeout=LIMIT_S)
    sandbox = tmp_path / "work" / "p-aaaaaaaa"
    config = sandbox / "agent.json"
    assert stat.S_IMODE(sandbox.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in sandbox.iterdir()} == {
        "agent.json": 0o600,
        "agent.out": 0o600,
        "agent.err": 0o600,
    }
    content = json.loads(config.read_text())
    assert content.pop("lifeline_fd") > 2
    assert content == {
        **SETTINGS,
        "pilot": "p-aaaaaaaa",
        "cores": 1,
        "sandbox": str(sandbox),
        "walltime_s": 120,
        "label": "d%201,",
        "gpus": 3,
        "memory_mb": 4,
        "options": {"executors": 1},
    }


def test_how_an_agent_is_started(submit: Submit, ends: Ends, tmp_path: Path) -> None:
    submit(
        'echo "$@" >&2; pwd >&2; ps -o pid=,sid= $$ | { read pid sid; test $pid = $sid && echo leads >&2; }; cat'
    )
    said = ends.get(timeout=LIMIT_S).log.splitlines()
    assert said == [f"-m pilot_agent --config {tmp_path}/work/p-aaaaaaaa/agent.json", "/", "leads"]


def test_the_environment_of_the_description_reaches_the_agent(submit: Submit, ends: Ends) -> None:
    submit('echo "$GREETING" >&2', environment={"GREETING": "good day"})
    assert ends.get(timeout=LIMIT_S).log == "good day\n"


def test_setup_lines_run_first_and_stop_the_agent_when_they_fail(submit: Submit, ends: Ends) -> None:
    submit('echo "$GREETING" >&2', setup=["GREETING='good day'", "export GREETING"])
    assert ends.get(timeout=LIMIT_S).log == "good day\n"


def test_a_setup_line_that_fails(submit: Submit, ends: Ends, tmp_path: Path) -> None:
    submit("echo never >&2", setup=["false", "echo never >&2"])
    assert ends.get(timeout=LIMIT_S) == AgentEnd("p-aaaaaaaa", 1, "")
    assert not list(tmp_path.rglob("agent.json")), "it holds secrets"


def test_the_working_directory_is_made_and_expanded(
    submit: Submit, ends: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", "deep/down")
    submit(working_directory="~/$PLACE")
    ends.get(timeout=LIMIT_S)
    assert (tmp_path / "deep" / "down" / "p-aaaaaaaa" / "agent.json").is_file()


def test_a_working_directory_that_cannot_be_used(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        SubmissionError, match=rf"{tmp_path}/file/agent of pilot p-aaaaaaaa cannot be used: Not a dir"
    ):
        submit(working_directory=str(tmp_path / "file" / "agent"))


def test_an_interpreter_that_is_not_there(submit: Submit, tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(SubmissionError, match="cannot be started with /no/python: No such file"):
        submit(python="/no/python")
    assert set(os.listdir("/proc/self/fd")) == before
    assert not list(tmp_path.rglob("agent.json")), "it holds secrets"


def test_more_cores_than_there_are(submit: Submit, ends: Ends) -> None:
    with pytest.warns(UserWarning, match="the pilot has 10000 cores, this machine"):
        assert submit(number_of_processes=10_000).cores == 10_000
    ends.get(timeout=LIMIT_S)


def test_whole_nodes_are_this_machine(submit: Submit, ends: Ends) -> None:
    assert submit(number_of_processes=None, number_of_nodes=1).cores == len(os.sched_getaffinity(0))
    ends.get(timeout=LIMIT_S)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "", socket.gethostname()])
def test_this_machine_has_several_names(submit: Submit, ends: Ends, host: str) -> None:
    submit(service_url=f"fork://{host}")
    ends.get(timeout=LIMIT_S)


def test_another_machine_is_refused(submit: Submit) -> None:
    with pytest.raises(SubmissionError, match="fork://elsewhere names another machine"):
        submit(service_url="fork://elsewhere")


def test_files_are_copied_into_the_sandbox_before_the_agent_starts(
    submit: Submit, ends: Ends, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text("words")
    placeholder = submit(
        file_transfer=[f"{tmp_path}/in.txt > BIGJOB_WORK_DIR", f"file://{tmp_path}/in.txt > sub/other.txt"]
    )
    sandbox = placeholder._sandbox
    assert (sandbox / "in.txt").read_text() == (sandbox / "sub/other.txt").read_text() == "words"
    ends.get(timeout=LIMIT_S)


@pytest.mark.parametrize("target", ["/tmp/x", "../x", "~/x", "ssh://host/x", "a/../../x"])
def test_files_of_a_pilot_go_into_its_sandbox_only(submit: Submit, target: str) -> None:
    with pytest.raises(DescriptionError, match="does not lead into the pilot's folder"):
        submit(file_transfer=[f"/etc/hostname > {target}"])


def test_a_file_that_is_not_there_is_told(submit: Submit, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"nothing\.txt"):
        submit(file_transfer=[f"{tmp_path}/nothing.txt > ."])


def test_the_interpreter_is_ours_by_default(submit: Submit, ends: Ends, tmp_path: Path) -> None:
    placeholder = submit(python=None, environment={}, agent_options={})
    assert placeholder._process.args[0] == sys.executable  # type: ignore[index]
    assert ends.get(timeout=LIMIT_S).exit_code != 0  # nobody is at that URL
