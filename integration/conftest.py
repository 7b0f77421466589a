"""What the integration tests start from: a home of their own, real Redis servers, resources for pilots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from child_program import home_environment, kill_all
from ports import free_port
from real_redis import new_password, running_server
from resources import TestResource, running_resource
from trouble_bench import TroubleBench, trouble_bench


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of a user who has never run anything. What runs with it in the end is killed."""
    path = tmp_path / "home"
    path.mkdir()
    yield path
    kill_all(path)


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """The environment of that user."""
    return home_environment(home)


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis server without a password."""
    with running_server(tmp_path, free_port()) as url:
        yield url


@pytest.fixture
def redis_url_with_password(tmp_path: Path) -> Iterator[str]:
    """A Redis server that wants a password, which is in the URL."""
    with running_server(tmp_path, free_port(), new_password()) as url:
        yield url


@pytest.fixture(params=["no password", "password"])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """A Redis server, once without and once with a password."""
    name = "redis_url" if request.param == "no password" else "redis_url_with_password"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="module", params=["ssh", "slurm", "slurm+ssh", "sge"])
def resource(request: pytest.FixtureRequest) -> Iterator[TestResource]:
    """Each resource for pilots; see `resource_bench.only` for others."""
    with running_resource(request.param) as running:
        yield running
        kill_all(running.home)


@pytest.fixture
def at(
    resource: TestResource, redis_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TroubleBench]:
    """A client of that resource; none of its pilots may leave anything."""
    with trouble_bench(resource, redis_url, home, monkeypatch) as bench:
        yield bench
