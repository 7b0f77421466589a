"""How pilots at resources end: canceled, killed, removed, out of time; and that nothing of them lives on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pilot import ComputeDataService, ComputeUnit, State
from pilot.submission.saga import sge as saga_sge
from resource_bench import only
from trouble_bench import TroubleBench
from until import LIMIT_S, until

pytestmark = pytest.mark.timeout(240)

BATCH = ("slurm", "slurm+ssh", "sge")
IMPATIENT = {"grace_s": 1}
"""Options of agents that soon kill what does not end by itself."""
SLEEPER = {"executable": "/bin/sleep", "arguments": ["600"]}
STUBBORN = "trap '' TERM INT HUP; echo here; while :; do sleep 600; done"


@pytest.fixture
def work(at: TroubleBench) -> Iterator[ComputeDataService]:
    with ComputeDataService(session=at.session) as service:
        service.add_pilot_compute_service(at.service)
        yield service


def begun(unit: ComputeUnit) -> None:
    """Wait until a unit runs."""
    until(lambda: unit.state is State.Running, lambda: unit.details)


@only(*BATCH)
def test_a_waiting_pilot_that_is_canceled_leaves_the_queue(at: TroubleBench) -> None:
    with at.full():
        pilot = at.pilot()
        job = pilot.details["job"]
        assert job in at.queue()
        pilot.cancel()
        assert pilot.state is State.Canceled
        until(lambda: job not in at.queue(), at.queue)


@only(*BATCH)
def test_a_waiting_pilot_whose_job_is_removed_by_hand_fails(
    at: TroubleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saga_sge, "ACCOUNTING_DELAY_S", 3.0)  # here the accounting is written at once
    with at.full():
        pilot = at.pilot()
        at.remove(pilot.details["job"])
        assert pilot.wait(LIMIT_S, state="Running") is State.Failed
        assert "before it had started" in at.last_failure()


def test_nothing_outlives_a_canceled_pilot(at: TroubleBench, work: ComputeDataService) -> None:
    pilot = at.running(number_of_processes=2, agent_options=IMPATIENT)
    stubborn = {"executable": "/bin/sh", "arguments": ["-c", STUBBORN]}
    hidden = {
        "executable": "/bin/sh",
        "arguments": ["-c", 'setsid sh -c "$0" </dev/null & sleep 600', STUBBORN],
    }
    for description in (stubborn, hidden):
        begun(work.submit_compute_unit(description))
    pilot.cancel()
    assert pilot.state is State.Canceled
    at.check_nothing_left()


def test_units_of_an_agent_that_is_killed_end_at_a_second_pilot(
    at: TroubleBench, work: ComputeDataService
) -> None:
    gate = at.resource.home / "gate"
    with suppress(FileNotFoundError):
        gate.unlink()
    first = at.running()
    waits = {
        "executable": "/bin/sh",
        "arguments": ["-c", f"while ! [ -e {gate} ]; do sleep 0.1; done; echo through"],
    }
    unit = work.submit_compute_unit(waits)
    begun(unit)
    second = at.running()
    for process in at.processes(first.id):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    assert first.wait(LIMIT_S, state="Failed") is State.Failed
    details = first.details
    assert details["reason"] == "lost"
    assert "pilot.registered" in details["message"], "the end of its log"
    gate.touch()
    unit.wait(LIMIT_S)
    assert (unit.state, unit.details["pilot"]) == (State.Done, second.id)


@only(*BATCH)
def test_units_of_a_job_that_is_removed_by_hand_are_handed_back(
    at: TroubleBench, work: ComputeDataService
) -> None:
    pilot = at.running()
    unit = work.submit_compute_unit(SLEEPER)
    begun(unit)
    at.remove(pilot.details["job"])
    until(lambda: pilot.state not in (State.Running, State.Pending), lambda: pilot.details)
    until(lambda: unit.state is State.Pending, lambda: unit.details)
    assert pilot.details["reason"] in {"terminated", "lost", "walltime"}, pilot.details
    unit.cancel()


def test_at_the_end_of_the_walltime_what_has_not_ended_goes_back(
    at: TroubleBench, work: ComputeDataService
) -> None:
    pilot = at.running(walltime=0.3, agent_options=IMPATIENT)
    short = work.submit_compute_unit({"executable": "/bin/true"})
    short.wait(LIMIT_S)
    assert short.state is State.Done
    endless = work.submit_compute_unit(SLEEPER)
    begun(endless)
    too_long = work.submit_compute_unit({"executable": "/bin/true", "walltime": 10})
    assert pilot.wait(2 * LIMIT_S, state="Done") is State.Done
    assert pilot.details["reason"] == "walltime"
    until(lambda: endless.state is State.Pending, lambda: endless.details)
    assert too_long.details["timestamps"].keys() == {"Pending"}
    for unit in (too_long, endless):
        unit.cancel()
