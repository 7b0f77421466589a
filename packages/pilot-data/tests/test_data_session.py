"""Sessions of data: their files, their URLs, and how other processes find what is in them."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pilot_data.data_unit import DataUnit
from pilot_data.pilot_data import PilotData
from pilot_data.pilot_data_service import PilotDataService
from pilot_protocol.errors import CoordinationError, DescriptionError, StateError
from pilot_protocol.keys import Keys
from pilot_protocol.states import State
from pilot_session import coordination_url
from pilot_session.session_file import SessionFiles
from redis_process import RedisProcess
from shared_data import PASSWORD, forget_sessions

LOOK = """
import sys
from pilot_data import DataUnit, PilotData, PilotDataService
service, store, unit = PilotDataService(pds_url=sys.argv[1]), PilotData(sys.argv[2]), DataUnit(sys.argv[3])
assert unit.wait(30)
print(*[one.id for one in service.list_pilots()], store.id, *[one.id for one in store.list_data_units()], unit.state)
"""


@pytest.fixture
def unit(server: RedisProcess, tmp_path: Path) -> DataUnit:
    """A data unit with one file."""
    (tmp_path / "a").write_text("content")
    store = PilotDataService(server.url).create_pilot({"service_url": f"file://{tmp_path}/store"})
    unit = store.submit_data_unit({"file_urls": [str(tmp_path / "a")]})
    assert unit.wait()
    return unit


def session_files(home: Path) -> list[Path]:
    """Return all session files."""
    return list((home / ".local/state/pilot/sessions").iterdir())


def test_another_process_finds_everything_by_urls(
    server: RedisProcess, unit: DataUnit, tmp_path: Path
) -> None:
    (store,) = unit.list_pilot_data()
    service = PilotDataService(server.url)
    other = service.create_pilot({"service_url": f"file://{tmp_path}/other"})
    urls = [service.url, store.url, unit.url]
    said = subprocess.run([sys.executable, "-c", LOOK, *urls], check=True, capture_output=True, text=True)
    assert said.stdout.split() == [other.id, store.id, unit.id, "Running"]


def test_urls_hold_no_password(server: RedisProcess, unit: DataUnit) -> None:
    (store,) = unit.list_pilot_data()
    for url in (PilotDataService(server.url).url, store.url, unit.url):
        assert PASSWORD not in url
        assert url.startswith(f"redis://127.0.0.1:{server.port}")


def test_the_session_s_file_is_the_user_s_alone(unit: DataUnit, home: Path) -> None:
    (file,) = session_files(home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD in file.read_text()


def test_the_server_has_neither_key_nor_password(server: RedisProcess, unit: DataUnit, home: Path) -> None:
    (file,) = session_files(home)
    key = SessionFiles(file.parent).load(file.stem).key_hex
    server.stop()
    kept = b"".join(
        path.read_bytes() for path in server.folder.rglob("*") if path.name.startswith("appendonly.aof.")
    )
    server.start()
    assert unit.id.encode() in kept
    assert not any(secret in kept for secret in (PASSWORD.encode(), key.encode(), bytes.fromhex(key)))


def test_services_of_one_process_and_server_share_a_session(server: RedisProcess, home: Path) -> None:
    assert PilotDataService(server.url)._session is PilotDataService(server.url)._session
    assert len(session_files(home)) == 1


def test_the_environment_names_the_server(server: RedisProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_COORDINATION_URL", server.url)
    assert str(server.port) in PilotDataService().url


def test_without_a_server_things_are_this_process_s(home: Path) -> None:
    service = PilotDataService()
    assert service.url == f"local:///{service.id}"
    assert PilotDataService(pds_url=service.url).id == service.id
    assert not (home / ".local").exists()


@pytest.mark.parametrize("local", [True, False])
def test_a_url_of_another_kind_is_refused(
    server: RedisProcess, unit: DataUnit, tmp_path: Path, local: bool
) -> None:
    service = PilotDataService() if local else PilotDataService(server.url)
    with pytest.raises(DescriptionError, match=r"that of 'pds-.+'; that of a data unit is needed"):
        DataUnit(service.url)
    with pytest.raises(DescriptionError, match=r"that of 'pds-.+'; that of a Pilot-Data is needed"):
        PilotData(service.url)
    with pytest.raises(DescriptionError, match=r"that of 'du-.+'; that of a PilotDataService is needed"):
        PilotDataService(pds_url=unit.url)


def test_an_object_that_is_not_there_is_named(unit: DataUnit) -> None:
    with pytest.raises(StateError, match="no data unit du-aaaaaaaaaaaa"):
        DataUnit(unit.url.replace(unit.id, "du-aaaaaaaaaaaa"))
    with pytest.raises(StateError, match="no data unit du-aaaaaaaaaaaa"):
        DataUnit("local:///du-aaaaaaaaaaaa")


def test_a_session_that_is_not_known_here_is_named(unit: DataUnit, home: Path) -> None:
    forget_sessions()
    (file,) = session_files(home)
    file.unlink()
    with pytest.raises(CoordinationError, match=rf"session {file.stem} is not known here.* copy it"):
        DataUnit(unit.url)


@pytest.mark.parametrize("session", ["s-aaaaaaaaaaaaaaaa", "nonsense"])
def test_a_session_id_that_is_not_known_is_refused(home: Path, session: str) -> None:
    with pytest.raises((CoordinationError, DescriptionError), match=session):
        PilotDataService(session=session)


def test_a_server_that_is_not_there_is_an_error_without_password(server: RedisProcess, home: Path) -> None:
    server.stop()
    with pytest.raises(CoordinationError, match="cannot be reached") as refused:
        PilotDataService(server.url)
    assert PASSWORD not in str(refused.value)
    server.start()
    assert PilotDataService(server.url).list_pilots() == []


@pytest.mark.parametrize("by_id", [True, False])
def test_pilots_and_data_share_a_session(server: RedisProcess, tmp_path: Path, by_id: bool) -> None:
    pilot = pytest.importorskip("pilot.session")
    session = pilot.Session.create(server.url)
    try:
        service = PilotDataService(session=session.id if by_id else session)
        store = service.create_pilot({"service_url": f"file://{tmp_path}/store"})
        assert f"session={session.id}&pd={store.id}" in store.url
        with server.client() as client:
            assert client.hexists(Keys(session.id).named("pilot_data"), store.id)
    finally:
        session.close()
    forget_sessions()
    assert PilotData(store.url).state is State.Running


def test_an_object_s_url_names_its_session(unit: DataUnit, home: Path) -> None:
    (file,) = session_files(home)
    assert coordination_url.parse_object_url(unit.url).session == file.stem
