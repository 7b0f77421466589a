"""Details of units and pilots: complete, with BigJob's keys, and never believed without their seal."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_agent import GOOD, FakeAgent, StartPilot
from local_redis import LocalRedis
from pilot import ComputeDataService, ComputeUnit, PilotCompute
from pilot.session import Session
from pilot.unit_output import read_stderr, read_stdout
from pilot_protocol.errors import ForgedRecordError, PilotError
from pilot_protocol.messages import UnitResult
from pilot_protocol.states import State

SERVICE = "pcs-aaaaaaaa"
ECHO = {
    "executable": "/bin/echo",
    "arguments": ["a b", "$X"],
    "environment": ["X=1"],
    "name": "e",
    "output": "o.txt",
}
LIMIT_S = 30.0


@pytest.fixture
def agent(session: Session, start_pilot: StartPilot) -> FakeAgent:
    return start_pilot()


@pytest.fixture
def unit(session: Session, agent: FakeAgent) -> ComputeUnit:
    work = ComputeDataService(session=session)
    session.store.attach(SERVICE, work.id, attached=True)
    return work.submit_compute_units([ECHO, {**ECHO, "arguments": ["c"]}])[0]


def test_a_pending_unit(unit: ComputeUnit, agent: FakeAgent) -> None:
    details = unit.get_details()
    assert details["description"] == {
        "executable": "/bin/echo",
        "arguments": ["a b", "$X"],
        "environment": {"X": "1"},
        "name": "e",
        "output": "o.txt",
    }
    assert (details["id"], details["url"], details["state"]) == (unit.id, unit.url, "Pending")
    assert details["reason"] == "queued: the pilots that fit are busy"
    assert (details["pilot"], details["attempts"], details["exit_code"], details["ended"]) == (
        None,
        0,
        None,
        None,
    )
    assert list(details["timestamps"]) == ["Pending"]


def test_a_done_unit(unit: ComputeUnit, agent: FakeAgent) -> None:
    agent.finish_all(GOOD)
    assert unit.wait(LIMIT_S) == State.Done
    details = unit.details
    assert (details["pilot"], details["attempts"], details["exit_code"], details["reason"]) == (
        agent.pilot,
        1,
        0,
        "",
    )
    assert (details["node"], details["nodes"], details["cores"]) == ("n1", ["n1"], "0")
    assert details["timestamps"] == {"Pending": details["submitted"], "Running": 1.0, "Done": 2.5}
    assert details["usage"] == {"user_s": 0.0, "system_s": 0.0, "peak_memory_kb": 0}


def test_the_keys_that_bigjob_had(unit: ComputeUnit, agent: FakeAgent) -> None:
    agent.finish_all(GOOD)
    unit.wait(LIMIT_S)
    details = unit.details
    assert details["Executable"] == "/bin/echo"
    assert details["Arguments"] == ["a b", "$X"]
    assert details["Environment"] == ["X=1"]
    assert (details["NumberOfProcesses"], details["SPMDVariation"], details["Output"]) == (
        1,
        "single",
        "o.txt",
    )
    assert float(details["end_time"]) - float(details["end_queue_time"]) == 1.5
    assert (details["run_host"], details["start_time"]) == ("n1", details["submitted"])


def test_a_canceled_unit(unit: ComputeUnit) -> None:
    unit.cancel()
    assert unit.wait(LIMIT_S) == State.Canceled
    assert (unit.details["reason"], unit.exit_code, unit.stdout()) == ("canceled", None, "")


def test_a_forged_result_is_not_believed(
    unit: ComputeUnit, agent: FakeAgent, server: LocalRedis, session: Session
) -> None:
    agent.finish_all(GOOD)
    unit.wait(LIMIT_S)
    server.command("HSET", session.keys.named("results"), unit.id, b"x" * 16 + GOOD.to_bytes())
    with pytest.raises(ForgedRecordError, match=unit.id):
        unit.stdout()


def test_a_result_of_another_unit_is_not_believed(
    unit: ComputeUnit, agent: FakeAgent, server: LocalRedis, session: Session
) -> None:
    agent.finish_all(GOOD)
    unit.wait(LIMIT_S)
    key = session.keys.named("results")
    server.command("HSET", key, unit.id, server.command("HGET", key, unit.id.replace("-0", "-1")))
    with pytest.raises(ForgedRecordError):
        unit.details  # noqa: B018 - reading is the point


def test_a_forged_description_is_not_believed(
    unit: ComputeUnit, server: LocalRedis, session: Session
) -> None:
    server.command("HSET", session.keys.named("descriptions"), unit.id, b"x" * 16 + b'\n{"executable":"rm"}')
    with pytest.raises(ForgedRecordError):
        unit.details  # noqa: B018 - reading is the point


def test_a_unit_that_redis_has_lost(
    unit: ComputeUnit, agent: FakeAgent, server: LocalRedis, session: Session
) -> None:
    agent.finish_all(GOOD)
    unit.wait(LIMIT_S)
    server.command("FLUSHALL", "SYNC")
    details = unit.details
    assert (details["state"], details["reason"], details["description"]) == ("Done", "lost", {})


def test_a_running_pilot(session: Session, agent: FakeAgent) -> None:
    pilot = PilotCompute.of(session, session.tracker.pilots[agent.pilot])
    assert pilot.wait(LIMIT_S, state="Running") == "Running"
    details = pilot.get_details()
    assert (details["id"], details["url"], details["state"]) == (agent.pilot, pilot.get_url(), "Running")
    assert (details["service"], details["service_url"]) == (SERVICE, "fork://localhost")
    assert (details["cores"], details["free_cores"], details["nodes"]) == (4, 4, ["n1"])
    assert (details["agent_version"], details["gpus"], details["job"]) == ("0.0", None, None)
    assert list(details["timestamps"]) == ["Pending", "Running"]
    assert 0 < details["walltime_left_s"] <= 3600
    assert details["start_time"] <= details["end_queue_time"]
    assert details["end_time"] is None


def test_an_ended_pilot(session: Session, agent: FakeAgent) -> None:
    pilot = PilotCompute.of(session, session.tracker.pilots[agent.pilot])
    agent.end("Failed")
    pilot.wait(LIMIT_S)
    assert pilot.wait(LIMIT_S, state="Done") == "Failed"
    details = pilot.details
    assert details["walltime_left_s"] is None
    assert details["end_time"] == details["timestamps"]["Failed"]


def test_output_that_is_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "stdout"
    file.write_bytes(b"long \xff\n" * 1000)
    result = UnitResult(stdout_file=str(file), stderr_file=str(file), stderr="its end")
    assert read_stdout("cu-1", result) == read_stderr(result) == "long \ufffd\n" * 1000


def test_output_in_a_file_that_is_elsewhere() -> None:
    result = UnitResult(stdout_file="/not/here", stderr_file="/not/here", stderr="its end", node="n7")
    assert read_stderr(result) == "[the end of /not/here on n7]\nits end"
    with pytest.raises(PilotError, match=r"cu-1 is in /not/here on n7, which cannot be read here"):
        read_stdout("cu-1", result)


def test_no_output_at_all() -> None:
    assert read_stdout("cu-1", UnitResult()) == read_stderr(UnitResult()) == ""
