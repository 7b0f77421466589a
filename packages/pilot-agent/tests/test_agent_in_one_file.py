"""The agent out of one zip file, without anything else of it on the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_bundle import write_bundle
from live_agent import LiveSession, live_session
from pilot_agent.__main__ import TOO_OLD
from pilot_agent.exit_codes import ENDED, PYTHON_TOO_OLD
from pilot_agent.node.surroundings import unit_base_environment

_VERSIONS = Path.home() / ".pyenv" / "versions"
_TOO_OLD = sorted(
    path for old in ("2.7", "3.6", "3.7", "3.8") for path in _VERSIONS.glob(f"{old}.*/bin/python")
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "pilot-agent.pyz")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LiveSession]:
    with live_session(tmp_path, password="pass-word") as session:
        yield session


def test_all_processes_of_an_agent_run_from_the_zip_file(session: LiveSession, bundle: Path) -> None:
    agent = session.start_agent(
        command=[sys.executable, "-I", str(bundle)], environment={"PYTHONPATH": "/nowhere"}
    )
    (unit,) = session.submit("env -0; exec sleep 0.1")
    session.wait_for([unit], "D")
    own = [command for pid, command in agent.commands().items() if pid != agent.process.pid]
    assert own
    assert all(f"{bundle}.{sys.implementation.cache_tag}" in command for command in own)
    found = dict(line.split("=", 1) for line in (session.result(unit).stdout or "").split("\0") if line)
    inherited = unit_base_environment({**os.environ, "PYTHONPATH": "/nowhere"})
    added = {name for name in found if name not in inherited and not name.startswith("PILOT_")}
    assert added <= {"PWD", "OLDPWD", "SHLVL", "_"}
    assert {name: found.get(name) for name in inherited if name not in {"_", "SHLVL"}} == {
        name: value for name, value in inherited.items() if name not in {"_", "SHLVL"}
    }


def test_a_head_from_the_zip_file_is_started_again(session: LiveSession, bundle: Path) -> None:
    agent = session.start_agent(command=[sys.executable, "-I", str(bundle)])
    session.wait_for_pilot("Running")
    (head,) = [pid for pid, command in agent.commands().items() if "--head" in command]
    os.kill(head, 9)
    (unit,) = session.submit("echo still here")
    session.wait_for([unit], "D")
    agent.process.terminate()
    assert agent.wait() == ENDED


def test_the_exit_code_of_a_python_that_is_too_old_is_the_documented_one() -> None:
    assert TOO_OLD == PYTHON_TOO_OLD


@pytest.mark.parametrize("python", _TOO_OLD, ids=lambda path: path.parent.parent.name)
def test_a_python_that_is_too_old_says_so(bundle: Path, python: Path) -> None:
    isolated = [] if "/2." in str(python) else ["-I"]  # what Python 2 does not know
    ended = subprocess.run(
        [python, *isolated, bundle, "--config", "none"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    version = python.parent.parent.name
    assert ended.returncode == PYTHON_TOO_OLD
    assert ended.stderr == (
        f"pilot-agent: Python 3.9 or newer is needed, this is {version} ({python}); "
        "set 'python' in the pilot's description\n"
    )
