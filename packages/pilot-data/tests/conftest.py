"""What tests start from: services on a catalogue of their own, local folders, S3 services.

Transfers between local folders wait or fail as a test says. The S3 library is imported with the first service.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cli_runs
from hindered_storage import HINDRANCES, Hindrance
from local_redis import LocalRedis
from pilot_data import PilotData, PilotDataService, data_session, registry
from pilot_data.data_session import DataSession
from pilot_data.local_catalogue import LocalCatalogue
from redis_catalogues import new_catalogue
from redis_process import RedisProcess
from shared_data import running_server, use_home

if TYPE_CHECKING:
    from s3_servers import RcloneServer, S3Service


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has never run anything."""
    return use_home(tmp_path, monkeypatch)


@pytest.fixture
def server(home: Path) -> Iterator[RedisProcess]:
    """A server of the test's own."""
    with tempfile.TemporaryDirectory(prefix="pd-") as folder, running_server(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[LocalRedis]:
    with tempfile.TemporaryDirectory(prefix="r-") as folder:  # a short path, for the socket
        server = LocalRedis(Path(folder))
        yield server
        server.stop()


@pytest.fixture
def catalogue_kind() -> str:
    """Where the catalogue is: in ``memory``, unless a module says otherwise."""
    return "memory"


@pytest.fixture
def session(
    catalogue_kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DataSession]:
    """What services without a coordination URL have, for one test; no thread that stages is left."""
    monkeypatch.delenv("PILOT_COORDINATION_URL", raising=False)
    is_local = catalogue_kind == "memory"
    catalogue = LocalCatalogue() if is_local else new_catalogue(request.getfixturevalue("redis_server"))
    before = set(threading.enumerate())
    found = DataSession(catalogue)
    monkeypatch.setattr(data_session, "_of_this_process", found)
    yield found
    found.stop_staging()
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(("stager", "lease", "take-over")):
            thread.join(10)
            assert not thread.is_alive(), thread
    catalogue.close()


@pytest.fixture
def service(session: DataSession) -> PilotDataService:
    return PilotDataService()


@pytest.fixture
def make_pd(service: PilotDataService, tmp_path: Path) -> Callable[..., PilotData]:
    """Return a maker of Pilot-Data in folders of their own."""

    def make(name: str = "store", **keys: object) -> PilotData:
        return service.create_pilot({"service_url": f"file://{tmp_path}/{name}", **keys})

    return make


@pytest.fixture
def pd(make_pd: Callable[..., PilotData]) -> PilotData:
    return make_pd()


@pytest.fixture
def here(tmp_path: Path) -> str:
    """A folder for the user's files."""
    folder = tmp_path / "here"
    folder.mkdir()
    return str(folder)


@pytest.fixture
def there(tmp_path: Path) -> str:
    """A folder for files that come back; it does not exist."""
    return str(tmp_path / "there")


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneServer]:
    """An S3 service that keeps objects as files."""
    from s3_servers import running_rclone

    with running_rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Service]:
    """An S3 service that keeps objects in memory."""
    from s3_servers import running_moto

    with running_moto() as service:
        yield service


@pytest.fixture
def s3_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The keys of both."""
    from s3_servers import give_keys

    give_keys(monkeypatch, tmp_path)


@pytest.fixture
def hinder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hindrance]]:
    """Return what lets transfers to folders whose path has a word in it wait or fail."""
    monkeypatch.setitem(registry._OURS, "file", ("hindered_storage", "HinderedStorage"))

    def make(word: str, error: BaseException | None = None, after: int = 0) -> Hindrance:
        HINDRANCES.append(Hindrance(word, error, after))
        return HINDRANCES[-1]

    yield make
    for hindrance in HINDRANCES:
        hindrance.go.set()
    HINDRANCES.clear()


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> cli_runs.Cli:
    """Return what runs the command pilot-data in this process."""
    return partial(cli_runs.ran, capsys)
