"""Units that wait for data say so, and waits for them go on as long as the data may come, and no longer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fake_agent import BAD, FakeAgent, StartPilot
from pilot import ComputeDataService, ComputeUnit, Session
from pilot.data_cycles import DataFlow
from pilot_data import DataUnit, PilotData, PilotDataService
from pilot_protocol import data_ops
from pilot_protocol.states import State

TRUE = {"executable": "/bin/true"}
SERVICE = "pcs-aaaaaaaa"
LIMIT_S = 30.0
SHORT_S = 0.2
"""For waits that are to end by nothing else."""


@pytest.fixture
def work(session: Session) -> ComputeDataService:
    found = ComputeDataService(session=session)
    session.store.attach(SERVICE, found.id, attached=True)
    return found


@pytest.fixture
def agent(start_pilot: StartPilot) -> FakeAgent:
    return start_pilot()


@pytest.fixture
def store(url: str, work: ComputeDataService, tmp_path: Path) -> PilotData:
    service = PilotDataService(url)
    work.add_pilot_data_service(service)
    return service.create_pilot({"service_url": f"file://{tmp_path}/store"})


@pytest.fixture
def data(work: ComputeDataService) -> DataUnit:
    """A data unit without files."""
    unit: DataUnit = work.submit_data_unit({})
    return unit


def reader(work: ComputeDataService, data: DataUnit) -> ComputeUnit:
    return work.submit_compute_unit({**TRUE, "input_data": [data]})


def writer(work: ComputeDataService, data: DataUnit) -> ComputeUnit:
    return work.submit_compute_unit({**TRUE, "output_data": [{data: ["*"]}]})


def whole(store: PilotData, tmp_path: Path) -> DataUnit:
    """Return a data unit with a file that is in place."""
    (tmp_path / "in.dat").write_text("content")
    unit = store.submit_data_unit({"file_urls": [f"{tmp_path}/in.dat"]})
    assert unit.wait(LIMIT_S)
    return unit


# --- reasons and placements ---------------------------------------------------------------------------------------------


def test_what_a_unit_waits_for_is_told(work: ComputeDataService, agent: FakeAgent, data: DataUnit) -> None:
    unit = reader(work, data)
    assert unit.details["reason"] == (
        f"waits for data unit {data.id}, which is nowhere, and no compute unit is to add files to it"
    )
    assert data.state == "New"
    first = writer(work, data)
    assert unit.details["reason"].endswith("to which 1 compute unit is still to add files")
    assert data.state == "Pending"
    last = work.submit_compute_unit({**TRUE, "input_data": [data], "depends_on": [first]})
    assert last.details["reason"].startswith(f"waits for 1 predecessor and for data unit {data.id}, to which")


def test_where_a_unit_was_placed_is_told(
    work: ComputeDataService, store: PilotData, start_pilot: StartPilot, tmp_path: Path
) -> None:
    unit = reader(work, whole(store, tmp_path))
    assert unit.details["placement"] == {"kind": "nowhere", "site": "", "bytes": 0, "copies": [], "costs": {}}
    assert unit.details["reason"].startswith("no pilot: create one")
    agent = start_pilot()
    placement = unit.details["placement"]
    assert (placement["kind"], placement["site"], placement["bytes"]) == ("there", ",", 0)
    assert list(placement["costs"]) == [","]
    assert work.submit_compute_unit(TRUE).details["placement"] is None
    assert agent.finish_all() == 2
    assert unit.wait(LIMIT_S) is State.Done
    assert unit.details["placement"]["kind"] == "there"


def test_a_unit_whose_data_cannot_come_says_which(
    work: ComputeDataService, agent: FakeAgent, data: DataUnit
) -> None:
    unit = reader(work, data)
    culprit = writer(work, data)
    agent.finish_all(BAD)
    assert unit.wait(LIMIT_S) is State.Canceled
    why = f"compute unit {culprit.id} was to add files to it, and has not ended well"
    assert unit.details["reason"] == "dependency"
    assert unit.details["message"] == f"data unit {data.id}, which it reads, cannot come: {why}"


def test_a_unit_whose_data_has_ended_says_how(work: ComputeDataService, data: DataUnit) -> None:
    unit = reader(work, data)
    data.cancel()
    assert unit.wait(LIMIT_S) is State.Canceled
    assert unit.details["message"] == f"data unit {data.id}, which it reads, cannot come: it is Canceled"


def test_a_data_unit_says_who_was_to_add_files_and_has_not(
    work: ComputeDataService, agent: FakeAgent, store: PilotData, data: DataUnit, tmp_path: Path
) -> None:
    filled = whole(store, tmp_path)
    units = [writer(work, one) for one in (data, filled)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(data.wait, LIMIT_S)
        agent.finish_all(BAD)
        assert waiting.result(LIMIT_S)
    assert filled.wait(LIMIT_S)
    assert [(one.state, one.details["reason"]) for one in (data, filled)] == [
        (state, f"compute unit {unit.id} was to add files to it, and has not ended well")
        for state, unit in zip(("New", "Running"), units, strict=True)
    ]


# --- waits --------------------------------------------------------------------------------------------------------------


def test_a_wait_ends_when_nobody_is_to_add_to_the_data(
    work: ComputeDataService, agent: FakeAgent, data: DataUnit
) -> None:
    unit = reader(work, data)
    with pytest.warns(
        RuntimeWarning, match=rf"not all that they need can come: data unit {data.id}, which is nowhere"
    ):
        assert not work.wait(LIMIT_S)
    with pytest.warns(RuntimeWarning, match=f"data unit {data.id}"):
        assert unit.wait(LIMIT_S) is State.Pending


def test_a_wait_of_another_process_ends_as_well(
    session: Session, work: ComputeDataService, agent: FakeAgent, data: DataUnit
) -> None:
    reader(work, data)
    session.close()
    with pytest.warns(RuntimeWarning, match=f"data unit {data.id}"):
        assert not ComputeDataService(cds_url=work.url).wait(LIMIT_S)


def test_a_wait_ends_when_units_of_two_programs_wait_for_one_another(
    session: Session, work: ComputeDataService, agent: FakeAgent, data: DataUnit
) -> None:
    between = work.submit_data_unit({})
    work.submit_compute_unit({**TRUE, "input_data": [data], "output_data": [{between: ["*"]}]})
    session.flow = DataFlow(session.tracker.is_waiting)  # another program knows nothing of that one
    work.submit_compute_unit({**TRUE, "input_data": [between], "output_data": [{data: ["*"]}]})
    said = r"2 compute units wait, and the compute units that they wait for wait, too: data unit .*; cancel one of them"
    with pytest.warns(RuntimeWarning, match=said):
        assert not work.wait(LIMIT_S)


def test_a_wait_goes_on_as_long_as_somebody_is_to_add_to_the_data(
    work: ComputeDataService, agent: FakeAgent, data: DataUnit
) -> None:
    unit = reader(work, data)
    first, second = writer(work, data), writer(work, data)
    assert not work.wait(SHORT_S)
    agent.report(agent.claim(1), "D")
    assert first.wait(LIMIT_S) is State.Done
    assert not work.wait(SHORT_S)
    agent.finish_all()
    assert second.wait(LIMIT_S) is State.Done
    with pytest.warns(
        RuntimeWarning, match=f"data unit {data.id}, which is nowhere"
    ):  # the fake agent adds nothing
        assert not work.wait(LIMIT_S)
    assert unit.state is State.Pending


def test_a_wait_goes_on_while_data_is_on_its_way(
    session: Session, work: ComputeDataService, agent: FakeAgent, data: DataUnit, tmp_path: Path
) -> None:
    service = PilotDataService(session=session)  # which nobody serves
    far = service.create_pilot({"service_url": f"file://{tmp_path}/far"})
    session.store.link.run(data_ops.ask_replica(session.keys, data.id, far.id))
    unit = reader(work, data)
    assert unit.details["reason"].endswith(
        f"which is to come to {far.id}, and nobody has begun to copy it (pilot-data serve does)"
    )
    assert not work.wait(SHORT_S)


def test_a_data_unit_that_is_canceled_takes_those_that_wait_with_it(
    work: ComputeDataService, agent: FakeAgent, data: DataUnit
) -> None:
    unit = reader(work, data)
    data.cancel()
    assert work.wait(LIMIT_S)
    assert unit.state is State.Canceled


def test_without_a_pilot_a_wait_says_that(work: ComputeDataService, store: PilotData, tmp_path: Path) -> None:
    reader(work, whole(store, tmp_path))
    with pytest.warns(RuntimeWarning, match="no pilot is left to run them"):
        assert not work.wait(LIMIT_S)


def test_as_completed_ends_when_the_rest_cannot_get_on(
    work: ComputeDataService, agent: FakeAgent, data: DataUnit
) -> None:
    reader(work, data)
    plain = work.submit_compute_unit(TRUE)
    agent.finish_all()
    with pytest.warns(RuntimeWarning, match=f"data unit {data.id}"):
        assert list(work.as_completed(timeout=LIMIT_S)) == [plain]
