"""A mover and Pilot-Data that are entered by SSH: linked where it sees their folder, else brought by SFTP."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_redis import LocalRedis
from mover_bench import Bench, holding, request, settings_of
from pilot_data import DataUnit, PilotData, markers, retry
from pilot_data.catalogue import DataUnitRecord
from pilot_data.data_session import DataSession
from pilot_data.node.messages import read_settings
from pilot_data.testing.sample_files import read_all
from pilot_session.identifiers import new_id
from ssh_hosts import running_host

CONTENT = os.urandom(3_000_000)


@pytest.fixture
def catalogue_kind() -> str:
    return "redis"


@pytest.fixture
def here(here: str) -> Path:
    """See the general one."""
    return Path(here)


@pytest.fixture
def far(
    make_pd: Callable[..., PilotData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PilotData]:
    """A folder of a host that runs here."""
    with running_host() as host:
        monkeypatch.setenv("PILOT_SSH_CONFIG", str(host.config_file))
        yield make_pd(service_url=str(host.at(tmp_path / "far")))


@pytest.fixture
def bench(session: DataSession, redis_server: LocalRedis, tmp_path: Path, far: PilotData) -> Iterator[Bench]:
    epoch = holding(session, redis_server, ["cu-aaaaaa-1"])
    settings = read_settings(json.dumps(settings_of(session, redis_server, tmp_path / "sandbox")))
    found = Bench(settings, epoch)
    yield found
    assert found.close()


@pytest.fixture
def unit(far: PilotData, here: Path) -> DataUnit:
    (here / "sub").mkdir()
    (here / "x").write_bytes(CONTENT)
    (here / "sub" / "y\n").write_bytes(b"y")
    unit = far.submit_data_unit({"file_urls": [f"{here}/"]})
    assert unit.wait(30)
    return unit


def hide(pilot: PilotData, tmp_path: Path) -> None:
    """Let this machine not be the one that has the folder."""
    (tmp_path / "far" / markers.name_of(pilot.id)).unlink()


def test_a_folder_that_is_seen_is_linked(bench: Bench, unit: DataUnit, tmp_path: Path) -> None:
    answer = bench.ask(request("in", tmp_path / "sandbox" / "u", {unit.id: ["*"]}))
    assert (answer.error, answer.bytes, answer.linked) == ("", 0, 2)
    assert os.readlink(tmp_path / "sandbox" / "u" / "x") == f"{tmp_path}/far/{unit.id}/x"


def test_a_folder_that_is_not_seen_is_fetched_once(
    bench: Bench, unit: DataUnit, far: PilotData, tmp_path: Path
) -> None:
    hide(far, tmp_path)
    folders = [tmp_path / "sandbox" / f"{number}" for number in range(20)]
    answers = bench.ask_all(
        [
            request("in", folder, {unit.id: ["*"]}, unit=f"cu-aaaaaa-{number}")
            for number, folder in enumerate(folders)
        ]
    )
    assert not [answer.error for answer in answers if answer.error]
    assert sum(answer.bytes for answer in answers) == len(CONTENT) + 1
    for folder in folders:
        assert (folder / "x").read_bytes() == CONTENT
        assert (folder / "sub" / "y\n").read_bytes() == b"y"


def test_a_replica_that_was_changed_is_not_taken(
    bench: Bench, unit: DataUnit, far: PilotData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
    hide(far, tmp_path)
    (tmp_path / "far" / unit.id / "sub" / "y\n").write_bytes(b"z")
    answer = bench.ask(request("in", tmp_path / "sandbox" / "u", {unit.id: ["sub"]}))
    assert "sub/y" in answer.error
    assert not (tmp_path / "sandbox" / "u").exists() or not list((tmp_path / "sandbox" / "u").iterdir())


@pytest.mark.parametrize("is_seen", [True, False])
def test_outputs_go_there(
    bench: Bench, far: PilotData, session: DataSession, tmp_path: Path, *, is_seen: bool
) -> None:
    name = new_id("du")
    session.catalogue.add_data_unit(DataUnitRecord(name, {}))
    if not is_seen:
        hide(far, tmp_path)
    folder = tmp_path / "sandbox" / "cu-aaaaaa-1"
    one = request("out", folder, {name: ["*.out"]})
    (folder / "x.out").write_bytes(CONTENT)
    answer = bench.ask(one)
    assert (answer.error, answer.bytes) == ("", 0 if is_seen else len(CONTENT))
    assert read_all(f"{tmp_path}/far") == {f"{name}/x.out": CONTENT}
    assert os.path.samefile(folder / "x.out", tmp_path / "far" / name / "x.out") == is_seen
