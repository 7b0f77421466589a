"""A whole agent in what looks like a job of Slurm: what it uses, when it ends, and the job's second run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import recorded_jobs
from live_agent import AGENT, LiveSession, live_session
from pilot_agent.exit_codes import ENDED, PILOT_ENDED
from pilot_agent.spawn.end_signals import END_SIGNALS

JOB = {**recorded_jobs.SLURM, "SLURMD_NODENAME": "node1", "SLURM_JOB_CPUS_PER_NODE": "1(x2)"}


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LiveSession]:
    with live_session(tmp_path) as session:
        yield session


def job(tmp_path: Path, left: str = "10:00", **changes: str) -> dict[str, str]:
    """Return the environment of a job whose `squeue` says how much time is left; its other node cannot be reached."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    commands = {"squeue": f"echo {left}", "srun": "echo srun: error: node2 is down >&2; exit 1"}
    for name, line in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return {**JOB, "PATH": f"{folder}:{os.environ['PATH']}", **changes}


def test_an_agent_has_what_its_job_has_and_says_so(session: LiveSession, tmp_path: Path) -> None:
    agent = session.start_agent(environment=job(tmp_path), cores=None)
    (unit,) = session.submit('echo "$CUDA_VISIBLE_DEVICES $SLURM_JOB_ID"')
    session.wait_for([unit], "D")
    assert session.result(unit).stdout == "0,1 7\n"
    record = session.pilot()
    wanted = {
        "cores": "1",
        "gpus": "2",
        "memory_mb": "500",
        "job": "7",
        "lrms": "slurm",
        "nodes": "node1",
    }
    assert {name: record[name] for name in wanted} == wanted
    assert "the pilot does without node node2: srun: error: node2 is down" in agent.said


def test_nodes_that_are_not_needed_for_the_cores_that_were_asked_for_are_left_alone(
    session: LiveSession, tmp_path: Path
) -> None:
    agent = session.start_agent(environment=job(tmp_path), cores=1)
    session.wait_for_pilot("Running")
    assert "1 of the 2 nodes of job 7 have all the cores that were asked for" in agent.said
    assert "srun" not in agent.said


def test_an_agent_that_a_local_client_started_has_what_was_asked_for(
    session: LiveSession, tmp_path: Path
) -> None:
    session.start_agent(environment=job(tmp_path), cores=2, lrms="local")
    session.wait_for_pilot("Running")
    record = session.pilot()
    assert (record["cores"], record["lrms"], "job" in record) == ("2", "local", False)


def test_a_pilot_ends_with_its_job_when_that_is_shorter(session: LiveSession, tmp_path: Path) -> None:
    # The end of the job is past the time that ending takes: the agent begins to end at once.
    agent = session.start_agent(environment=job(tmp_path, left="0:05"), walltime_s=3600)
    session.wait_for_pilot("Done")
    assert agent.wait() == ENDED
    assert session.pilot()["reason"] == "walltime"


@pytest.mark.parametrize("number", END_SIGNALS, ids=lambda number: number.name)
def test_any_signal_of_a_batch_system_to_all_processes_ends_a_pilot_in_order(
    session: LiveSession, tmp_path: Path, number: signal.Signals
) -> None:
    agent, deaf = session.start_agent(environment=job(tmp_path)), tmp_path / "deaf"
    (unit,) = session.submit(f"trap '' {number.name[3:]}; touch {deaf}; exec sleep 600")
    session.wait(deaf.exists)
    for pid in [agent.process.pid, *agent.below()]:
        with suppress(ProcessLookupError):  # the first ones may have ended the others by now
            os.kill(pid, number)
    session.wait_for_pilot("Canceled")
    assert agent.wait() == ENDED
    assert session.pilot()["reason"] == "terminated"
    assert session.states[unit][:2] == ["R", "N"]  # it may run elsewhere
    assert "executor.lost" not in agent.said
    assert "head.died" not in agent.said


def test_a_unit_that_gets_the_signal_of_the_job_before_the_agent_has_not_failed(
    session: LiveSession, tmp_path: Path
) -> None:
    agent = session.start_agent(environment=job(tmp_path))
    (unit,) = session.submit("exec sleep 600")
    session.wait_for([unit], "R")
    for pid in [*reversed(agent.below()), agent.process.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    session.wait_for_pilot("Canceled")
    assert agent.wait() == ENDED
    assert session.states[unit][:2] == ["R", "N"]


def test_a_job_that_runs_again_takes_its_pilot_up_again(session: LiveSession, tmp_path: Path) -> None:
    agent = session.start_agent(environment=job(tmp_path))
    (unit,) = session.submit('[ "$PILOT_UNIT_ATTEMPT" != 1 ] || exec sleep 600; echo "$SLURM_RESTART_COUNT"')
    session.wait_for([unit], "R")
    first = session.pilot()["epoch"]
    agent.kill_whole()
    agent.run(AGENT, job(tmp_path, SLURM_RESTART_COUNT="1"))
    session.wait_for([unit], "D")
    assert session.result(unit).stdout == "1\n"
    assert int(session.pilot()["epoch"]) > int(first)
    assert "restarts=1" in agent.said


def test_a_job_that_runs_again_ends_at_once_when_its_pilot_was_lost(
    session: LiveSession, tmp_path: Path
) -> None:
    agent = session.start_agent(environment=job(tmp_path))
    session.wait_for_pilot("Running")
    agent.kill_whole()
    session.end_pilot()
    agent.run(AGENT, job(tmp_path, SLURM_RESTART_COUNT="1"))
    assert agent.wait() == PILOT_ENDED
    assert "the batch system runs job 7 again (restart 1), but " in agent.said


def test_a_job_that_runs_again_ends_at_once_when_its_pilot_had_ended_in_order(
    session: LiveSession, tmp_path: Path
) -> None:
    agent = session.start_agent(environment=job(tmp_path))
    session.wait_for_pilot("Running")
    agent.process.terminate()
    assert agent.wait() == ENDED
    agent.run(AGENT, job(tmp_path, SLURM_RESTART_COUNT="2"))
    assert agent.wait() == PILOT_ENDED
    assert "runs job 7 again (restart 2), but its pilot has ended: the first run removed" in agent.said
