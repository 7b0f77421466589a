"""What launchers of other nodes have started here is found and ended, and nothing of the executors of this node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilot_agent.spawn import foreign_ranks
from pilot_agent.spawn.foreign_ranks import kill_foreign_ranks
from pilot_agent.spawn.markers import ATTEMPT, SANDBOX, marked_processes
from pilot_agent.spawn.process_tree import MARKER, ProcessTable

EXECUTOR = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[2:]).returncode)"
"""Runs a program and ends as it does, below a command line like an executor's."""


class Ranks:
    """Starts processes with the markers of a unit, which say when they run and end with their input."""

    def __init__(self, sandbox: Path) -> None:
        self.sandbox = str(sandbox)
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *above: str) -> subprocess.Popen[bytes]:
        """Start one, below a program if need be."""
        markers = {SANDBOX: self.sandbox, MARKER: "cu-1", ATTEMPT: "1"}
        marked = ["/usr/bin/env", *(f"{name}={value}" for name, value in markers.items())]
        process = subprocess.Popen(
            [*above, *marked, "/bin/sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.started.append(process)
        assert process.stdout is not None
        process.stdout.read(1)
        return process

    def close(self) -> None:
        """End all."""
        for process in self.started:
            process.communicate()


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Ranks]:
    ranks = Ranks(tmp_path)
    yield ranks
    ranks.close()


def below_executor(ranks: Ranks) -> subprocess.Popen[bytes]:
    return ranks.start(sys.executable, "-c", EXECUTOR, "pilot_agent.node.executor")


def test_only_what_no_executor_is_above_is_killed(ranks: Ranks) -> None:
    foreign, own = ranks.start(), below_executor(ranks)
    kill_foreign_ranks(ranks.sandbox)
    assert foreign.wait() == -9
    own.communicate()
    assert own.returncode == 0


def test_ranks_of_other_pilots_are_left_alone(ranks: Ranks) -> None:
    foreign = ranks.start()
    kill_foreign_ranks(ranks.sandbox + "-2")
    foreign.communicate()
    assert foreign.returncode == 0


def test_what_an_executor_starts_during_a_look_is_left_alone(
    ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then_start(look: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*arguments: Any) -> Any:
            found = look(*arguments)
            if not ranks.started:
                below_executor(ranks)
            return found

        return looked

    monkeypatch.setattr(foreign_ranks, "marked_processes", then_start(marked_processes))
    monkeypatch.setattr(ProcessTable, "read", then_start(ProcessTable.read))
    kill_foreign_ranks(ranks.sandbox)
    (own,) = ranks.started
    assert os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    own.communicate()
    assert own.returncode == 0
