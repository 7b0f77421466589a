"""Data units on their way from each kind of storage to each other one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest

from globus_emulator.server import Emulator
from globus_fixture import THERE, QuickGlobusStorage, WithGlobus
from pilot_data import DescriptionError, PilotData, PilotDataService, State, TransferError
from pilot_data.locations import Location, parse
from pilot_data.registry import open_storage
from pilot_data.testing.sample_files import content, read_all, write, write_all
from s3_servers import BUCKET, RcloneServer, S3Service, give_keys, stored
from ssh_hosts import SshHost, running_host

KINDS = ("file", "ssh", "s3", "globus")
MakeStore = Callable[[str], PilotData]


@pytest.fixture(scope="module")
def host() -> Iterator[SshHost]:
    with running_host() as server:
        yield server


@pytest.fixture(scope="module")
def s3(rclone: RcloneServer) -> S3Service:
    return rclone.service


class TestEverywhere(WithGlobus):
    @pytest.fixture
    def make_store(
        self,
        service: PilotDataService,
        globus: Emulator,
        host: SshHost,
        s3: S3Service,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> MakeStore:
        """Return a maker of Pilot-Data of each kind."""
        give_keys(monkeypatch, tmp_path)
        monkeypatch.setenv("PILOT_SSH_CONFIG", str(host.config_file))
        monkeypatch.setenv("TMPDIR", str(tmp_path))  # below what the local collection shows
        monkeypatch.setattr("tempfile.tempdir", None)
        monkeypatch.setattr(
            "pilot_data.adaptors.globus.storage.GlobusStorage.pauses", QuickGlobusStorage.pauses
        )
        urls = {
            "file": {"service_url": f"file://{tmp_path}/by-file"},
            "ssh": {"service_url": str(host.at(tmp_path / "by-ssh"))},
            "s3": {"service_url": f"s3://{BUCKET}/{tmp_path.name}", "endpoint_url": s3.url},
            "globus": {"service_url": f"globus://{THERE}/store"},
        }
        return lambda kind: service.create_pilot(urls[kind])

    @pytest.fixture
    def there(self, tmp_path: Path) -> str:
        """A folder with small files, a large one, an empty one, an empty folder, links, and hard names."""
        folder = str(tmp_path / "files")
        write_all(folder, [f"run {number % 3}/{number}" for number in range(40)])
        write(folder, "large", content(9 << 20))
        write(folder, "ünï/empty", b"")
        os.symlink("large", f"{folder}/link")
        os.mkdir(f"{folder}/nothing")
        return folder

    @pytest.mark.parametrize(("first", "second"), [*permutations(KINDS, 2)])
    def test_a_data_unit_goes_from_each_to_each(
        self, make_store: MakeStore, there: str, tmp_path: Path, first: str, second: str
    ) -> None:
        start, end = make_store(first), make_store(second)
        unit = start.submit_data_unit({"file_urls": [f"{there}/"]})
        assert unit.wait(60)
        assert (unit.state, unit.details["reason"]) == (State.Running, "")
        unit.add_pilot_data(end)
        assert unit.wait(60)
        assert {store.id for store in unit.list_pilot_data()} == {start.id, end.id}, unit.details
        expected = read_all(there)
        for store in (start, end):
            back = str(tmp_path / f"back-{store.id}")
            unit.export(back, pilot_data=store)
            assert read_all(back) == expected
        start.remove_du(unit)
        assert (unit.state, unit.list_pilot_data()) == (State.Running, [end])
        unit.cancel()

    def test_small_files_are_few_objects(self, make_store: MakeStore, s3: S3Service, there: str) -> None:
        store = make_store("s3")
        unit = store.submit_data_unit({"file_urls": [f"{there}/"]})
        assert unit.wait(60)
        place = open_storage(location_of(store, unit.id), s3.access())
        names = stored(place)
        assert len(names) == 4, names  # a bundle and its list, the large file, and what the link leads to
        unit.remove_files(["run 0/0"])
        assert "run 0/0" not in unit.list()
        unit.cancel()
        assert stored(place) == []

    def test_a_data_unit_is_one_task(self, make_store: MakeStore, globus: Emulator, there: str) -> None:
        unit = make_store("globus").submit_data_unit({"file_urls": [f"{there}/"]})
        assert unit.wait(60)
        assert unit.state is State.Running, unit.details["reason"]
        assert globus.called("/transfer") == 1

    def test_a_pilot_data_that_cannot_be_used_is_told_when_it_is_made(
        self, make_store: MakeStore, service: PilotDataService, s3: S3Service, host: SshHost
    ) -> None:
        refused = {
            "no such bucket": {"service_url": "s3://no-such-bucket/x", "endpoint_url": s3.url},
            "is not known yet": {"service_url": f"ssh://127.0.0.1:{host.port}/tmp/x"},
            "no id of a collection": {"service_url": "globus://nowhere/x"},
        }
        for text, description in refused.items():
            with pytest.raises((TransferError, DescriptionError), match=text):
                service.create_pilot(description)
        assert service.list_pilots() == []


def location_of(store: PilotData, name: str) -> Location:
    """Return where a data unit's files are."""
    return parse(f"{store.details['description']['service_url']}/{name}")
