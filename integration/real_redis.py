"""Starts Redis servers for tests: on a port of the loopback interface, with or without a password, nothing on disk."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pilot.server_binary import find_server
from pilot_protocol.errors import CoordinationError

START_LIMIT_S = 10.0


def server_program() -> Path:
    """Return the program of a Redis server, from the PATH or an installed package; skip the test without one."""
    try:
        return find_server().path
    except CoordinationError as error:
        pytest.skip(f"no server: {error}")


@contextmanager
def running_server(folder: Path, port: int, password: str = "") -> Iterator[str]:
    """Run a server for the length of a block; give its URL, with the password."""
    settings = folder / "redis.conf"
    settings.write_text(
        f"bind 127.0.0.1\nport {port}\nsave 3600 1\nappendonly no\ndir {folder}\n"
        + (f"requirepass {password}\n" if password else "")
    )
    process = subprocess.Popen(
        [server_program(), settings], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_until_ready(process)
        yield f"redis://:{password}@localhost:{port}" if password else f"redis://localhost:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=START_LIMIT_S)


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    """Read the server's log until it says that it serves."""
    assert process.stdout is not None
    log = []
    for line in process.stdout:
        log.append(line)
        if "eady to accept connections" in line:
            return
    sys.stderr.writelines(log)
    raise AssertionError(f"the Redis server ended with exit code {process.wait()} before it served")


def new_password() -> str:
    """Return a password for one test."""
    return secrets.token_hex(16)
