"""What the tests of the client start from: a home of their own, a Redis server, a session, and a way to fake pilots."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from closed_sessions import close_sessions
from fake_agent import FakeAgent, StartPilot
from local_ec2 import LocalEc2, running_ec2
from local_redis import LocalRedis
from pilot import open_sessions
from pilot.session import Session
from pilot.tracker import TrackedPilot
from pilot_protocol.states import State


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has never run anything; sessions that a test leaves open are closed."""
    for name in (
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_RUNTIME_DIR",
        "PILOT_COORDINATION_URL",
        "PILOT_REDIS_SERVER",
    ):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    return path


@pytest.fixture(scope="session")
def ec2_server() -> Iterator[LocalEc2]:
    """An EC2 in this process."""
    with running_ec2() as running:
        yield running


@pytest.fixture
def ec2(ec2_server: LocalEc2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalEc2:
    """An EC2 without instances, and a user who may use it."""
    ec2_server.give_to(monkeypatch, tmp_path)
    return ec2_server


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="pc-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(short_folder: Path) -> Iterator[LocalRedis]:
    """A Redis server."""
    running = LocalRedis(short_folder)
    yield running
    running.stop()


@pytest.fixture
def url(server: LocalRedis, home: Path) -> Iterator[str]:
    """The URL of a Redis server; the sessions made there are closed in the end."""
    yield server.url
    close_sessions()


@pytest.fixture
def session(url: str) -> Session:
    """A session, the default one of its server."""
    return open_sessions.default(url)


@pytest.fixture
def start_pilot(session: Session) -> Iterator[StartPilot]:
    """Creates a pilot of a service with a fake agent."""
    agents: list[FakeAgent] = []

    def start(service: str = "pcs-aaaaaaaa", pilot: str = "p-aaaaaaaa", cores: int = 4) -> FakeAgent:
        description = {"service_url": "fork://localhost", "number_of_processes": cores}
        session.store.create_pilot(pilot, service, description)
        session.tracker.set_pilot(TrackedPilot(pilot, service, cores, State.Pending))
        agents.append(FakeAgent(session, pilot, cores))
        return agents[-1]

    yield start
    for agent in agents:
        agent.close()
