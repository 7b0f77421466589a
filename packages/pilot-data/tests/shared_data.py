"""A user's home, a Redis server with a password, and programs that use its catalogue in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pilot_data import data_session
from pilot_session.shared_sessions import shared
from redis_process import RedisProcess

PASSWORD = "a-secret-of-the-server"

STAGE_AND_STAND_STILL = """
import sys
from pilot_data import staging
from pilot_data.pilot_data_service import PilotDataService

whole = staging.move

def move(source, target, items, job):
    yield from whole(source, target, items[:1], job)
    print("still", flush=True)
    sys.stdin.read()

service = PilotDataService(sys.argv[1])
store = service.create_pilot({"service_url": "file://" + sys.argv[2]})
if sys.argv[4:]:
    unit = store.submit_data_unit({"file_urls": [sys.argv[3]]})
    assert unit.wait() and unit.state == "Running"
    print(service.url, unit.url, flush=True)
    staging.move = move
    unit.add_files(sys.argv[4:])
else:
    staging.move = move
    unit = store.submit_data_unit({"file_urls": [sys.argv[3]]})
    print(service.url, unit.url, flush=True)
    unit.wait()
"""
"""Moves one file of a data unit, or of those that are added to it, and goes no further."""


@contextmanager
def standing_still(
    url: str, store: Path, *file_urls: str
) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """Run a process that has moved one file and holds the lease; yields the URLs of its service and data unit."""
    command = [sys.executable, "-c", STAGE_AND_STAND_STILL, url, str(store), *file_urls]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline().strip(), process.stdout.readline().strip()]
            (urls,) = (line for line in said if line != "still")
            service, unit = urls.split()
            yield service, unit, process
        finally:
            process.kill()


def use_home(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the user have a home in which nothing was ever run."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "PILOT_COORDINATION_URL"):
        monkeypatch.delenv(name, raising=False)
    home = path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def forget_sessions() -> None:
    """End what this process holds of sessions, as if it had just started."""
    for session in data_session._by_session.values():
        session.stop_staging()
        session.catalogue.close()
    data_session._by_session.clear()
    shared._defaults.clear()
    shared._files.clear()


@contextmanager
def running_server(folder: Path) -> Iterator[RedisProcess]:
    """Run a server that wants a password and keeps everything on disk."""
    server = RedisProcess(folder, password=PASSWORD, appends=True)
    server.start()
    try:
        yield server
    finally:
        forget_sessions()
        server.stop()
