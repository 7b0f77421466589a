"""Services and Pilot-Data: from making to ending, what they tell, and what they refuse."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hindered_storage import Hindrance
from pilot_data import (
    DataUnit,
    DescriptionError,
    PilotData,
    PilotDataDescription,
    PilotDataService,
    State,
    StateError,
    TransferError,
)
from pilot_data.adaptors.file import FileStorage
from pilot_data.data_session import DataSession
from pilot_data.errors import ConnectionLostError
from pilot_data.local_catalogue import LocalCatalogue
from pilot_data.testing.sample_files import read_all, write_all

MakePilotData = Callable[..., PilotData]
Hinder = Callable[..., Hindrance]


def test_a_pilot_data_runs_from_its_making_to_its_cancellation(pd: PilotData) -> None:
    assert pd.get_state() == "Running"
    pd.cancel()
    assert pd.state is State.Canceled
    pd.cancel()
    assert pd.get_state() == "Canceled"


def test_description_objects_do_as_well(service: PilotDataService, tmp_path: Path) -> None:
    description = PilotDataDescription(service_url=f"file://{tmp_path}/x")
    description.size = 5
    assert service.create_pilot(description).details["size"] == 5_000_000


def test_a_service_lists_its_own_pilot_data_only(service: PilotDataService, make_pd: MakePilotData) -> None:
    first, second = make_pd("a"), make_pd("b")
    first.cancel()
    assert service.list_pilots() == [first, second]
    assert service.get_pilot(second.id) == second
    assert PilotDataService().list_pilots() == []
    with pytest.raises(StateError, match="has no Pilot-Data pd-none; it has pd-"):
        service.get_pilot("pd-none")


def test_leaving_the_context_removes_what_is_held(session: DataSession, tmp_path: Path, here: str) -> None:
    write_all(here, ["a", "b"])
    with PilotDataService() as service:
        pd = service.create_pilot({"service_url": f"file://{tmp_path}/store"})
        unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
        assert service.wait(30)
        assert unit.state is State.Running
    assert (pd.state, unit.state) == (State.Canceled, State.Canceled)
    assert read_all(f"{tmp_path}/store") == {}
    assert sorted(read_all(here)) == ["a", "b"]


def test_objects_are_found_again_by_url(service: PilotDataService, pd: PilotData) -> None:
    unit = pd.submit_data_unit({"file_urls": []})
    again = PilotData(pd_url=pd.get_url())
    assert again == pd
    assert hash(again) == hash(pd)
    assert again != unit
    assert DataUnit(du_url=unit.url) == unit
    assert {unit, DataUnit(unit.url)} == {unit}
    assert PilotDataService(pds_url=service.get_url()).list_pilots() == [pd]
    assert (repr(pd), repr(unit)) == (f"<PilotData {pd.id}>", f"<DataUnit {unit.id}>")
    assert pd.get_id() == pd.id
    assert service.get_id() in repr(service)


@pytest.mark.parametrize(
    ("make", "url", "match"),
    [
        (PilotData, "local:///du-abc", "that of 'du-abc'; that of a Pilot-Data is needed"),
        (DataUnit, "local:///pd-abc", "that of 'pd-abc'; that of a data unit is needed"),
        (DataUnit, 7, "du_url"),
        (DataUnit, "", "the scheme is ''"),
        (PilotData, "file:///data", "the scheme is 'file'"),
        (lambda url: PilotDataService(pds_url=url), "local:///pd-abc", "a PilotDataService is needed"),
    ],
)
def test_urls_of_other_things_are_refused(
    session: DataSession, make: Callable[[Any], object], url: object, match: str
) -> None:
    with pytest.raises(DescriptionError, match=match):
        make(url)


@pytest.mark.parametrize("name", ["pds", "pd", "du"])
def test_a_url_of_another_process_says_that_it_is_one(session: DataSession, name: str) -> None:
    make: dict[str, Callable[[str], object]] = {
        "pds": lambda url: PilotDataService(pds_url=url),
        "pd": PilotData,
        "du": DataUnit,
    }
    with pytest.raises(
        StateError, match="known in its own process only: make the service with a coordination_url"
    ):
        make[name](f"local:///{name}-elsewhere")


@pytest.mark.parametrize(
    ("description", "match"),
    [
        ({}, "service_url"),
        ({"service_url": 7}, "service_url"),
        ({"service_url": "nfs://host/x"}, "nfs"),
        ({"service_url": "file:///x", "siez": 1}, "siez.*size"),
        ({"service_url": "file:///x", "size": -1}, "size"),
        ({"service_url": "file:///x", "size": "big"}, "size"),
        ({"service_url": "ssh://me:secret@host/x"}, "holds a password"),
        ({"service_url": "file:///x", "secret_access_key": "k"}, "profile"),
        ({"service_url": "ssh://host/x", "userkey": "-----BEGIN PRIVATE KEY-----"}, "is a key itself"),
        (None, "PilotDataDescription|description"),
        ("file:///x", "PilotDataDescription|description"),
    ],
)
def test_wrong_descriptions_are_refused(service: PilotDataService, description: Any, match: str) -> None:
    with pytest.raises(DescriptionError, match=match) as caught:
        service.create_pilot(description)
    assert "secret@" not in str(caught.value)
    assert service.list_pilots() == []


def test_a_file_is_no_place_for_pilot_data(service: PilotDataService, here: str) -> None:
    write_all(here, ["a"])
    for place in (f"{here}/a", f"{here}/a/below"):
        with pytest.raises(TransferError, match="/a is no folder"):
            service.create_pilot({"service_url": f"file://{place}"})
    assert service.list_pilots() == []


def test_size_is_a_limit(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a", "b"], size=600_000)
    small = make_pd("small", size=1)
    first = small.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert first.wait(30)
    assert (small.details["used"], small.details["free"]) == (600_000, 400_000)
    second = small.submit_data_unit({"file_urls": [f"{here}/b"]})
    assert second.wait(30)
    assert second.state is State.Failed
    assert "has 600000 bytes; of the 1000000 bytes" in second.details["reason"]
    assert small.details["used"] == 600_000
    first.cancel()
    assert small.details["used"] == 0
    assert small.submit_data_unit({"file_urls": [f"{here}/b"]}).wait(30)
    assert small.details["used"] == 600_000


def test_room_of_removed_files_is_given_back(make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a", "b", "c"], size=400_000)
    small = make_pd(size=1)
    unit = small.submit_data_unit({"file_urls": [f"{here}/a", f"{here}/b"]})
    assert unit.wait(30)
    with pytest.raises(TransferError, match="has 1200000 bytes"):
        unit.add_files([f"{here}/c"])
    assert (small.details["used"], sorted(unit.list())) == (800_000, ["a", "b"])
    assert unit.state is State.Running
    unit.remove_files(["a"])
    assert small.details["used"] == 400_000
    unit.add_files([f"{here}/c"])
    assert small.details["used"] == 800_000


def test_details_of_a_pilot_data(pd: PilotData, here: str) -> None:
    write_all(here, ["a"])
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert pd.wait(30)
    details = pd.get_details()
    assert details["description"]["service_url"].endswith("/store")
    assert (details["state"], details["reason"], details["size"], details["used"]) == (
        State.Running,
        "",
        0,
        100,
    )
    assert details["free"] > 0
    assert details["data_units"] == [unit.id]
    pd.cancel()
    assert pd.details["free"] is None
    assert pd.details["data_units"] == []


def test_waits_end_at_their_timeouts(
    service: PilotDataService, pd: PilotData, here: str, hinder: Hinder
) -> None:
    write_all(here, ["a"])
    held = hinder("store")
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert held.reached.wait(30)
    for waiting in (unit, pd, service):
        assert waiting.wait(0) is False
        assert waiting.wait(timeout=0.01) is False
        assert waiting.wait(-5) is False
    held.go.set()
    for timeout in (None, 1e12, math.inf, 30):
        assert service.wait(timeout)
        assert pd.wait(timeout)
        assert unit.wait(timeout)


@pytest.mark.parametrize("timeout", ["3", math.nan, True, [1]])
def test_a_timeout_is_a_number(service: PilotDataService, pd: PilotData, timeout: Any) -> None:
    unit = pd.submit_data_unit({"file_urls": []})
    for waiting in (service, pd, unit):
        with pytest.raises(DescriptionError, match="timeout is"):
            waiting.wait(timeout)


def test_nothing_is_put_where_all_has_ended(pd: PilotData, make_pd: MakePilotData) -> None:
    unit = make_pd("other").submit_data_unit({"file_urls": []})
    pd.cancel()
    with pytest.raises(StateError, match="is Canceled; nothing is put there any more"):
        pd.submit_data_unit({"file_urls": []})
    with pytest.raises(StateError, match="nothing can be brought there"):
        unit.add_pilot_data(pd)
    with pytest.raises(StateError, match="nothing can be brought there"):
        pd.put_du(unit)


def test_get_du_takes_urls_and_ids(pd: PilotData, make_pd: MakePilotData) -> None:
    unit = pd.submit_data_unit({"file_urls": []})
    assert pd.get_du(unit.url) == pd.get_du(unit.id) == unit
    with pytest.raises(StateError, match="has no data unit"):
        make_pd("other").get_du(unit.url)


@pytest.mark.parametrize("method", ["put_du", "remove_du", "url_for_du"])
def test_what_is_no_data_unit_is_refused(pd: PilotData, method: str) -> None:
    for given in ("du-abc", None, pd):
        with pytest.raises(DescriptionError, match=r"data_unit is .*; a DataUnit is allowed"):
            getattr(pd, method)(given)
    with pytest.raises(DescriptionError, match="a DataUnit is allowed"):
        pd.export_du(7, "/tmp/x")  # type: ignore[arg-type]
    with pytest.raises(DescriptionError, match="a DataUnit is allowed"):
        pd.submit_data_unit(data_unit="du-abc")  # type: ignore[arg-type]
    with pytest.raises(DescriptionError, match="a PilotData is allowed"):
        pd.copy_du(pd.submit_data_unit({}), "pd-abc")  # type: ignore[arg-type]


def test_objects_of_two_catalogues_do_not_meet(pd: PilotData) -> None:
    other = DataSession(LocalCatalogue())
    with pytest.raises(StateError, match="is in another catalogue"):
        pd.put_du(DataUnit.of(other, "du-abc"))


def test_a_description_or_a_data_unit_is_submitted(pd: PilotData) -> None:
    unit = pd.submit_data_unit({})
    with pytest.raises(DescriptionError, match="a description, or data_unit="):
        pd.submit_data_unit()
    with pytest.raises(DescriptionError, match="a description, or data_unit="):
        pd.submit_data_unit({}, data_unit=unit)


@pytest.mark.parametrize("given", [[], "x", 7])
def test_a_description_is_a_mapping(pd: PilotData, given: Any) -> None:
    with pytest.raises(DescriptionError):
        pd.submit_data_unit(given)


def test_canceling_goes_on_behind_a_storage_that_fails(
    service: PilotDataService, make_pd: MakePilotData, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(here, ["a"])
    broken, sound = make_pd("broken"), make_pd("sound")
    units = [pd.submit_data_unit({"file_urls": [f"{here}/a"]}) for pd in (broken, sound)]
    assert service.wait(30)
    remove_all = FileStorage.remove_all

    def refuse(storage: FileStorage) -> None:
        if "broken" in storage.root:
            raise ConnectionLostError("cannot reach broken")
        remove_all(storage)

    with monkeypatch.context() as patch:
        patch.setattr(FileStorage, "remove_all", refuse)
        with pytest.raises(TransferError, match="cannot reach broken"):
            service.cancel()
    assert [unit.state for unit in units] == [State.Canceled, State.Canceled]
    assert sound.details["data_units"] == []
    assert broken.details["data_units"] == [units[0].id]
    service.cancel()
    assert broken.details["data_units"] == []
    assert read_all(broken.details["description"]["service_url"].removeprefix("file://")) == {}


def test_a_program_that_ends_leaves_no_thread_in_its_way(tmp_path: Path, here: str) -> None:
    """What was submitted is staged to its end, as with any pool of threads."""
    write_all(here, ["a", "b"])
    program = f"""
import logging
from pilot_data import PilotDataService
pd = PilotDataService("").create_pilot({{"service_url": "file://{tmp_path}/store"}})
unit = pd.submit_data_unit({{"file_urls": ["{here}/"]}})
print(unit.id)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )
    assert ended.stderr == ""
    assert sorted(read_all(f"{tmp_path}/store/{ended.stdout.strip()}")) == ["a", "b"]
