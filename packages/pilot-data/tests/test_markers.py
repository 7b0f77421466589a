"""Markers: by which file a machine knows the folder of a Pilot-Data again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pilot_data import PilotData, markers
from pilot_data.catalogue import PilotDataRecord, store_in
from pilot_data.registry import open_storage
from pilot_data.replicas import place_of
from ssh_hosts import SshHost, running_host


@pytest.fixture
def host() -> Iterator[SshHost]:
    with running_host() as server:
        yield server


def record_of(pilot: PilotData) -> PilotDataRecord:
    return store_in(pilot._session.catalogue, pilot.id)


def test_the_folder_of_a_pilot_data_is_marked_until_it_is_canceled(pd: PilotData, tmp_path: Path) -> None:
    assert [path.name for path in (tmp_path / "store").iterdir()] == [markers.name_of(pd.id)]
    assert markers.folder_here(record_of(pd)) == str(tmp_path / "store")
    pd.cancel()
    assert not list((tmp_path / "store").iterdir())
    assert not markers.folder_here(record_of(pd))
    pd.cancel()


def test_a_folder_of_that_name_on_another_machine_is_not_taken_for_it(pd: PilotData, tmp_path: Path) -> None:
    (tmp_path / "store" / markers.name_of(pd.id)).unlink()
    assert not markers.is_here(record_of(pd))


def test_no_listing_shows_a_marker(pd: PilotData, tmp_path: Path) -> None:
    (tmp_path / "store" / "own").write_text("x")
    with closing(open_storage(place_of(record_of(pd), ""))) as storage:
        assert [entry.path for entry in storage.list()] == ["own"]


def test_two_pilot_data_in_one_folder_have_a_marker_each(make_pd: Callable[..., PilotData]) -> None:
    one, other = make_pd(), make_pd()
    one.cancel()
    assert markers.is_here(record_of(other))
    assert not markers.is_here(record_of(one))


def test_what_has_no_folders_is_not_marked_and_can_be_entered_from_anywhere(pd: PilotData) -> None:
    record = record_of(pd)
    bucket = replace(record, description={"service_url": "s3://bucket"})
    assert markers.is_here(bucket)
    assert not markers.folder_here(bucket)


def test_a_folder_that_is_entered_by_ssh_is_marked_too(
    host: SshHost, tmp_path: Path, make_pd: Callable[..., PilotData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOT_SSH_CONFIG", str(host.config_file))
    pilot = make_pd(service_url=str(host.at(tmp_path / "far")))
    assert (tmp_path / "far" / markers.name_of(pilot.id)).exists()
    assert markers.folder_here(record_of(pilot)) == str(tmp_path / "far")
    with closing(open_storage(host.at(tmp_path / "far"))) as storage:
        assert not list(storage.list())
    pilot.cancel()
    assert not (tmp_path / "far" / markers.name_of(pilot.id)).exists()
