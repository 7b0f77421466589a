"""A storage that is nowhere special: a folder that is entered by an adaptor of somebody else's, `fake://any/folder`.

It keeps contents only, as object stores do. `install` makes it known to this program and those that it starts.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pilot_data.adaptors.file import FileStorage
from pilot_data.entries import Entry, Item, Outcome
from pilot_data.errors import ConnectionLostError
from pilot_data.job import Job
from pilot_data.storage import Capabilities

PIPE = "FAKE_STORAGE_PIPE"
"""Variable with the path of a named pipe that `fake://telling/…` writes to when some bytes have moved."""

MIDDLE = 2 * 1024 * 1024
"""So many bytes."""

FETCHED: list[str] = []
"""Paths of all files that were fetched by this process."""


class FakeStorage(FileStorage):
    """A folder; `fake://gone/…` cannot be reached, `fake://telling/…` tells when it is in the middle of a file that it gets, and
    `fake://stalling/…` when it is in the middle of one that it gives, and goes no further.
    """

    capabilities = Capabilities()

    @property
    def root(self) -> str:
        if self.location.host == "gone":
            raise ConnectionLostError("cannot reach gone; is it up?", transient=False)
        return f"/{self.location.path}"

    def list(self, paths: Sequence[str] = ("",)) -> Iterator[Entry]:
        for entry in super().list(paths):
            yield Entry(entry.path, entry.size, entry.mtime_ns)

    def put_many(self, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        is_telling = self.location.host == "telling" and PIPE in os.environ
        return super().put_many(root, items, _telling(job) if is_telling else job)

    def get_many(self, items: Sequence[Item], root: str, job: Job) -> Iterator[Outcome]:
        assert all(item.entry.has_content for item in items)
        FETCHED.extend(f"{self.root}/{item.entry.path}" for item in items)
        is_stalling = self.location.host == "stalling" and PIPE in os.environ
        return super().get_many(items, root, _telling(job, stalls=True) if is_stalling else job)


def _telling(job: Job, *, stalls: bool = False) -> Job:
    """Return a job that tells by the pipe when so many bytes have moved; and waits then until somebody has read all of it."""
    seen: list[int] = []

    def count(moved: int) -> None:
        before = sum(seen)
        seen.append(moved)
        if before < MIDDLE <= before + moved:
            with open(os.environ[PIPE], "wb") as pipe:
                pipe.write(b".")
            while stalls:
                signal.pause()
        job.on_bytes(moved)

    return replace(job, on_bytes=count)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the adaptor known by an entry point in a folder, for this process and its children."""
    info = folder / "fake_storage-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-storage\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pilot_data.adaptors]\nfake = fake_storage:FakeStorage\n")
    monkeypatch.syspath_prepend(str(folder))
    paths = [str(folder), os.path.dirname(__file__)]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))
