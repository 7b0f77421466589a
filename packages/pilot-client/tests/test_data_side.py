"""A ComputeDataService places data units at the Pilot-Data that were added, and takes compute units that name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_redis import LocalRedis
from pilot import ComputeDataService, ComputeUnit, PilotComputeService
from pilot.session import Session
from pilot_data import DataUnit, PilotData, PilotDataService
from pilot_protocol.errors import DescriptionError, StateError
from pilot_protocol.states import State

TRUE = {"executable": "/bin/true"}
LIMIT_S = 30.0


@pytest.fixture
def work(url: str) -> ComputeDataService:
    return ComputeDataService(url)


@pytest.fixture
def service(url: str) -> PilotDataService:
    return PilotDataService(url)


@pytest.fixture
def store(service: PilotDataService, work: ComputeDataService, tmp_path: Path) -> PilotData:
    work.add_pilot_data_service(service)
    return service.create_pilot({"service_url": f"file://{tmp_path}/store"})


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "in.dat"
    path.write_text("content\n")
    return str(path)


# --- services and their Pilot-Data --------------------------------------------------------------------------------------


def test_services_are_added_and_removed(
    work: ComputeDataService, store: PilotData, service: PilotDataService, file: str
) -> None:
    assert work.list_pilot_data() == [store]
    assert work.details["pilot_data_services"] == [service.id]
    assert work.details["pilot_compute_services"] == []
    work.remove_pilot_data_service(service)
    assert work.list_pilot_data() == []
    with pytest.raises(
        DescriptionError, match="asks for 1 replica, and there are 0 Pilot-Data that are Running"
    ):
        work.submit_data_unit({"file_urls": [file]})


def test_the_first_service_brings_its_session(url: str, service: PilotDataService) -> None:
    work = ComputeDataService()
    work.add_pilot_data_service(service)
    assert service.url.rpartition("&")[0] == work.url.rpartition("&")[0]


def test_a_service_of_another_session_is_refused(work: ComputeDataService, url: str) -> None:
    work.submit_compute_unit(TRUE)
    other = Session.create(url)
    with pytest.raises(
        DescriptionError, match=rf"lives in session {other.id} .* same coordination URL and session"
    ):
        work.add_pilot_data_service(PilotDataService(session=other.id))
    other.close()


def test_a_service_that_only_this_process_knows_is_refused(home: Path) -> None:
    with pytest.raises(DescriptionError, match=r"only this process knows.* coordination URL"):
        ComputeDataService().add_pilot_data_service(PilotDataService())


def test_what_is_no_service_is_refused(work: ComputeDataService, url: str, store: PilotData) -> None:
    for wrong in (None, "pds-aaaaaaaa", PilotComputeService(url), store):
        with pytest.raises(DescriptionError, match="a PilotDataService is allowed"):
            work.add_pilot_data_service(wrong)


def test_what_is_no_pilot_compute_service_is_refused(
    work: ComputeDataService, service: PilotDataService
) -> None:
    wrong: Any
    for wrong in (None, "pcs-aaaaaaaa", service, work):
        for use in (work.add_pilot_compute_service, work.remove_pilot_compute_service):
            with pytest.raises(DescriptionError, match="a PilotComputeService is allowed"):
                use(wrong)
    assert work.details["pilot_data_services"] == []


# --- data units ---------------------------------------------------------------------------------------------------------


def test_a_data_unit_is_placed_listed_and_found(
    work: ComputeDataService, store: PilotData, file: str, url: str
) -> None:
    unit = work.submit_data_unit({"file_urls": [file]})
    assert work.wait(LIMIT_S)
    assert (unit.state, list(unit.list_pilot_data()), list(unit.list())) == (
        State.Running,
        [store],
        ["in.dat"],
    )
    assert "owner" not in unit.details["description"]
    assert work.list_data_units() == [unit]
    assert work.get_data_unit(unit.id) == work.get_data_unit(unit.url) == unit
    assert ComputeDataService(url).list_data_units() == []


def test_a_data_unit_that_there_is_not(work: ComputeDataService) -> None:
    with pytest.raises(StateError, match="has no data unit du-aaaaaaaaaaaa"):
        work.get_data_unit("du-aaaaaaaaaaaa")
    with pytest.raises(DescriptionError):
        work.get_data_unit("nonsense")


def test_another_process_finds_the_data_units_of_a_service(
    work: ComputeDataService, store: PilotData, file: str
) -> None:
    unit = work.submit_data_unit({"file_urls": [file]})
    again = ComputeDataService(cds_url=work.url)
    assert again.list_data_units() == [unit]
    assert again.list_pilot_data() == [store]
    assert again.wait(LIMIT_S)


def test_labels_and_room_decide_where_a_data_unit_is(
    work: ComputeDataService, service: PilotDataService, file: str, tmp_path: Path
) -> None:
    work.add_pilot_data_service(service)

    def make(name: str, **keys: Any) -> PilotData:
        return service.create_pilot({"service_url": f"file://{tmp_path}/{name}", **keys})

    small = make("small", size=1)
    near = make("near", size=2, affinity_datacenter_label="eu", affinity_machine_label="m1")
    large = make("large", affinity_datacenter_label="eu", affinity_machine_label="m2")
    wishes: dict[str, dict[str, Any]] = {
        "anywhere": {},
        "near": {"affinity_datacenter_label": "eu", "affinity_machine_label": "m1"},
        "two": {"affinity_datacenter_label": "eu", "number_of_replicas": 2},
        "all": {"number_of_replicas": 3},
        "nowhere near": {"affinity_datacenter_label": "us"},
    }
    placed = {
        name: set(work.submit_data_unit({"file_urls": [file], **wish}).details["replicas"])
        for name, wish in wishes.items()
    }
    assert placed == {
        "anywhere": {large.id},
        "near": {near.id},
        "two": {near.id, large.id},
        "all": {small.id, near.id, large.id},
        "nowhere near": {large.id},
    }
    with pytest.raises(DescriptionError, match="asks for 4 replicas, and there are 3"):
        work.submit_data_unit({"number_of_replicas": 4, "file_urls": [file]})


def test_a_canceled_service_takes_no_data_units_and_keeps_those_it_has(
    work: ComputeDataService, store: PilotData, file: str
) -> None:
    unit = work.submit_data_unit({"file_urls": [file]})
    unit.wait(LIMIT_S)
    work.cancel()
    assert unit.state is State.Running
    with pytest.raises(StateError, match="takes no more data units"):
        work.submit_data_unit({})


# --- compute units that name data units ---------------------------------------------------------------------------------


@pytest.fixture
def empty(work: ComputeDataService, store: PilotData) -> Callable[[], DataUnit]:
    """Makes data units without files."""
    return lambda: work.submit_data_unit({})


def test_data_units_are_named_by_themselves_by_url_and_by_id(
    work: ComputeDataService, empty: Callable[[], DataUnit]
) -> None:
    one, two, three = empty(), empty(), empty()
    unit = work.submit_compute_unit(
        {**TRUE, "input_data": [one, {two.url: ["*.dat"]}], "output_data": [{three.id: ["std*"]}]}
    )
    assert unit.details["description"]["input_data"] == {one.id: ["*"], two.id: ["*.dat"]}
    assert unit.details["description"]["output_data"] == {three.id: ["std*"]}


def test_files_are_added_to_one_without_a_place_when_it_has_one(
    empty: Callable[[], DataUnit], store: PilotData, file: str
) -> None:
    unit = empty()
    for change in (unit.add_files, unit.remove_files):
        with pytest.raises(StateError, match=r"is New, and not at any Pilot-Data yet; .*add_pilot_data\(\)"):
            change([file])
    unit.add_pilot_data(store)
    assert unit.wait(LIMIT_S)
    unit.add_files([file])
    assert list(unit.list()) == ["in.dat"]


def test_a_data_unit_that_is_not_known_is_refused(work: ComputeDataService) -> None:
    for key, value in {
        "input_data": ["du-aaaaaaaaaaaa"],
        "output_data": [{"du-aaaaaaaaaaaa": ["*"]}],
    }.items():
        with pytest.raises(DescriptionError, match="names du-aaaaaaaaaaaa, which this session does not have"):
            work.submit_compute_unit({**TRUE, key: value})
    assert work.list_compute_units() == []


def test_output_for_a_data_unit_that_has_ended_is_refused(
    work: ComputeDataService, empty: Callable[[], DataUnit]
) -> None:
    ended, used_before = empty(), empty()
    reader = work.submit_compute_unit({**TRUE, "input_data": [used_before]})
    for unit in (ended, used_before):
        unit.cancel()
    assert reader.wait(LIMIT_S) is State.Canceled
    for unit in (ended, used_before):
        with pytest.raises(DescriptionError, match=f"names {unit.id}, which is Canceled and takes no files"):
            work.submit_compute_unit({**TRUE, "output_data": [{unit: ["*"]}]})
    assert work.list_compute_units() == [reader]


def test_a_data_unit_of_another_session_is_refused(
    work: ComputeDataService, url: str, tmp_path: Path, file: str
) -> None:
    other = Session.create(url)
    service = PilotDataService(session=other.id)
    store = service.create_pilot({"service_url": f"file://{tmp_path}/other"})
    unit = store.submit_data_unit({"file_urls": [file]})
    with pytest.raises(DescriptionError, match=rf"data unit {unit.id} of session {other.id}"):
        work.submit_compute_unit({**TRUE, "input_data": [unit]})
    unit.wait(LIMIT_S)
    other.close()


def test_a_circle_is_refused_and_nothing_of_it_is_submitted(
    work: ComputeDataService, empty: Callable[[], DataUnit]
) -> None:
    one, two = empty(), empty()
    forth = {**TRUE, "name": "forth", "input_data": [one], "output_data": [{two: ["*"]}]}
    back = {**TRUE, "name": "back", "input_data": [two], "output_data": [{one: ["*"]}]}
    with pytest.raises(DescriptionError, match=f"{one.id} -> forth -> {two.id} -> back -> {one.id}"):
        work.submit_compute_units([forth, back])
    assert work.list_compute_units() == []
    unit = work.submit_compute_unit(back)
    with pytest.raises(DescriptionError, match=f"{two.id} -> {unit.id} -> {one.id} -> forth -> {two.id}"):
        work.submit_compute_unit(forth)


def test_what_is_refused_leaves_no_trace(
    work: ComputeDataService, empty: Callable[[], DataUnit], server: LocalRedis
) -> None:
    one, two = empty(), empty()
    with pytest.raises(DescriptionError, match="executable"):
        work.submit_compute_units([{**TRUE, "input_data": [one], "output_data": [{two: ["*"]}]}, {}])
    unit: ComputeUnit = work.submit_compute_unit({**TRUE, "input_data": [two], "output_data": [{one: ["*"]}]})
    assert unit.state is State.Pending
