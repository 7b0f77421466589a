"""Pilots at batch systems in the hands of another program than the one that created them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from child_program import Ended, run_python
from resource_bench import ResourceBench, only
from resources import TestResource
from until import LIMIT_S, until

pytestmark = [pytest.mark.timeout(240), only("slurm", "slurm+ssh", "sge")]

CREATE = """\
import json, sys
import pilot

url, description, state = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
pilots = pilot.PilotComputeService(url)
made = pilots.create_pilot(description)
if made.wait(60, state=state) != state:
    raise SystemExit(made.details["message"])
print(made.url)
print(pilots.url)
print(made.details["job"])
"""

CANCEL = """\
import sys
import pilot

found = pilot.PilotCompute(sys.argv[1])
print(found.state)
print(found.wait(0.5, state="Done"))
found.cancel()
print(found.state)
"""

CANCEL_ALL = """\
import sys
import pilot

pilots = pilot.PilotComputeService(pcs_url=sys.argv[1])
pilots.cancel()
print(pilots.wait(0), *[each.state for each in pilots.list_pilots()])
"""

WAIT = """\
import sys
import pilot
from pilot.submission.saga import sge

sge.ACCOUNTING_DELAY_S = 3.0  # here the accounting is written at once

pilots = pilot.PilotComputeService(pcs_url=sys.argv[1])
print("waits", flush=True)
pilots.wait()
print(*[each.details["message"] for each in pilots.list_pilots()])
"""


@dataclass(frozen=True)
class Made:
    """A pilot that a program made, which has ended."""

    pilot_url: str
    service_url: str
    job: str


@dataclass(frozen=True)
class Programs(ResourceBench):
    """Programs of a user at a resource."""

    home: Path
    redis_url: str

    def create(self, state: str, **keys: Any) -> Made:
        """Let a program create a pilot, wait for its state, and end."""
        arguments = self.redis_url, json.dumps(self.described(**keys)), state
        ended = run_python(self._program(CREATE), self.variables(self.home), *arguments, something_stays=True)
        assert (ended.code, ended.stderr) == (0, "")
        return Made(*ended.lines)

    def run(self, text: str, *arguments: str) -> Ended:
        """Let a program do what it says."""
        return run_python(self._program(text), self.variables(self.home), *arguments, something_stays=True)

    def start(self, text: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program."""
        command = [sys.executable, str(self._program(text)), *arguments]
        return subprocess.Popen(
            command, env=dict(self.variables(self.home)), stdout=subprocess.PIPE, text=True
        )

    def _program(self, text: str) -> Path:
        path = self.home / "program.py"
        path.write_text(text)
        return path


@pytest.fixture
def at(resource: TestResource, home: Path, redis_url: str) -> Iterator[Programs]:
    programs = Programs(resource, home, redis_url)
    yield programs
    programs.check_nothing_left()


def test_another_program_cancels_a_pilot_that_waits(at: Programs) -> None:
    with at.full():
        made = at.create("Pending")
        assert made.job in at.queue()
        ended = at.run(CANCEL, made.pilot_url)
        assert (ended.lines, ended.stderr) == (["Pending", "Pending", "Canceled"], "")
        assert made.job not in at.queue()


def test_another_program_cancels_a_pilot_that_runs(at: Programs) -> None:
    made = at.create("Running")
    ended = at.run(CANCEL, made.pilot_url)
    assert (ended.lines, ended.stderr) == (["Running", "Running", "Done"], "")


@pytest.mark.parametrize("state", ["Pending", "Running"])
def test_another_program_cancels_all_pilots_of_a_service(at: Programs, state: str) -> None:
    if state == "Running":
        ended = at.run(CANCEL_ALL, at.create(state).service_url)
    else:
        with at.full():
            ended = at.run(CANCEL_ALL, at.create(state).service_url)
    how = "Canceled" if state == "Pending" else "Done"  # an idle pilot has done all there was to do
    assert (ended.lines, ended.stderr) == ([f"True {how}"], "")


def test_another_program_that_waits_hears_that_the_job_was_removed(at: Programs) -> None:
    with at.full():
        made = at.create("Pending")
        waiting = at.start(WAIT, made.service_url)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waits\n"
        at.remove(made.job)
        out, _ = waiting.communicate(timeout=LIMIT_S)
    assert "the agent ended before it had started" in out
    until(lambda: made.job not in at.queue(), at.queue)
