"""What the user of the client sees when an agent, or the client itself, is killed in the middle of a thousand units."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis

from child_program import run_python

pytestmark = pytest.mark.faults

UNITS = 1000

LOSE_AN_AGENT = '''
import json, os, signal, sys
from collections import Counter
from pathlib import Path
from pilot import ComputeDataService, PilotComputeService, State

def kill_session(leader):
    """End all processes of a session at once, as far as that goes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                session = (entry / "stat").read_text().rpartition(")")[2].split()[3]
                if session == leader:
                    os.kill(int(entry.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass

with PilotComputeService(sys.argv[1]) as pilots, ComputeDataService() as work:
    description = {"service_url": "fork://localhost", "number_of_processes": 2, "working_directory": sys.argv[2]}
    first = pilots.create_pilot(description)
    work.add_pilot_compute_service(pilots)
    units = work.submit_compute_units({"executable": "/bin/true"} for _ in range(int(sys.argv[3])))
    next(iter(work.as_completed(units)))
    in_flight = sum(unit.state not in (State.Done, State.Failed) for unit in units)
    kill_session(first.details["job"])
    second = pilots.create_pilot(description)
    work.wait()
    print(json.dumps({
        "in_flight": in_flight, "first": first.state, "second": second.state, "session": work.url.split("session=")[1].split("&")[0],
        "states": Counter(unit.state for unit in units), "ids": [unit.id for unit in units],
    }))
'''

CANCEL_A_FROZEN_AGENT = """
import os, signal, sys
from pathlib import Path
from pilot import PilotComputeService, State, pilot_ending

pilot_ending.STOP_LIMIT_S = 0.5
pilots = PilotComputeService(sys.argv[1])
description = {"service_url": "fork://localhost", "number_of_processes": 1, "working_directory": sys.argv[2]}
pilot = pilots.create_pilot(description)
stubborn = "trap '' TERM; while :; do sleep 600; done"
unit = pilot.submit_compute_unit({"executable": "/bin/sh", "arguments": ["-c", stubborn]})
pilot._session.wait_for(lambda: unit.state is State.Running, None)
leader = pilot.details["job"]
for head in Path(f"/proc/{leader}/task/{leader}/children").read_text().split():
    os.kill(int(head), signal.SIGSTOP)
pilots.cancel()
print(pilot.state, unit.state)
"""

SUBMIT_AND_WAIT = """
import sys
from pilot import ComputeDataService, PilotComputeService
pilots = PilotComputeService(sys.argv[1])
pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 2, "working_directory": sys.argv[2]})
work = ComputeDataService()
work.add_pilot_compute_service(pilots)
units = work.submit_compute_units({"executable": "/bin/true"} for _ in range(int(sys.argv[3])))
next(iter(work.as_completed(units)))
print(pilots.url, work.url, flush=True)
work.wait()
"""

COME_BACK = """
import json, sys
from collections import Counter
from pilot import ComputeDataService, PilotComputeService
work = ComputeDataService(cds_url=sys.argv[2])
work.wait()
units = work.list_compute_units()
print(json.dumps({"states": Counter(unit.state for unit in units), "ids": [unit.id for unit in units],
                  "session": work.url.split("session=")[1].split("&")[0]}))
PilotComputeService(pcs_url=sys.argv[1]).cancel()
"""


def written(folder: Path, text: str) -> Path:
    program = folder / "program.py"
    program.write_text(text)
    return program


def ends_told(url: str, session: str) -> Counter[str]:
    """Return how often the event stream tells of each unit that it is Done."""
    events: Any = redis.Redis.from_url(url).xrange(f"pilot:1:{{{session}}}:events")
    return Counter(name.decode() for _, fields in events for name in fields.get(b"D", b"").split())


def test_killing_a_whole_agent_loses_nothing_and_ends_nothing_twice(
    redis_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    program = written(tmp_path, LOSE_AN_AGENT)
    ended = run_python(program, environment, redis_url, str(tmp_path / "agent"), str(UNITS))
    ended.check_clean()
    told = json.loads(ended.stdout)
    assert told["states"] == {"Done": UNITS}
    assert told["first"] == "Failed"
    assert told["second"] == "Running"
    assert told["in_flight"] > 0
    assert ends_told(redis_url, told["session"]) == dict.fromkeys(told["ids"], 1)


def test_when_a_pilot_has_been_canceled_its_units_are_gone_even_if_its_agent_stands_still(
    redis_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    program = written(tmp_path, CANCEL_A_FROZEN_AGENT)
    ended = run_python(program, environment, redis_url, str(tmp_path / "agent"))
    assert (ended.code, ended.lines, ended.left) == (0, ["Canceled Canceled"], ())


def test_units_go_on_without_their_client_and_another_one_sees_them(
    redis_url: str, environment: dict[str, str], home: Path, tmp_path: Path
) -> None:
    first = written(tmp_path, SUBMIT_AND_WAIT)
    command = [sys.executable, str(first), redis_url, str(tmp_path / "agent"), str(UNITS)]
    with subprocess.Popen(command, env=environment, cwd=home, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        urls = client.stdout.readline().split()
        client.kill()
    program = tmp_path / "again.py"
    program.write_text(COME_BACK)
    ended = run_python(program, environment, *urls)
    ended.check_clean()
    told = json.loads(ended.stdout)
    assert told["states"] == {"Done": UNITS}
    assert ends_told(redis_url, told["session"]) == dict.fromkeys(told["ids"], 1)
