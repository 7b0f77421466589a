"""A Globus of the tests' own: an emulator, two collections, and this machine's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from globus_emulator.server import Emulator
from pilot_data.adaptors.globus.config import CLIENT_ID, CLIENT_SECRET, LOCAL_COLLECTION, LOCAL_ROOT
from pilot_data.adaptors.globus.connection import Pauses
from pilot_data.adaptors.globus.storage import GlobusStorage
from pilot_data.locations import Location
from pilot_data.storage import Access

HERE, THERE, ELSEWHERE = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")
"""Ids of this machine's collection and of two others."""


class QuickGlobusStorage(GlobusStorage):
    """Asks at once again."""

    pauses = Pauses(first_s=0.002, longest_s=0.02, retry_s=0.0)


def storage_at(collection: str = THERE, path: str = "/store", profile: str = "") -> QuickGlobusStorage:
    """Return a storage of the emulator's."""
    return QuickGlobusStorage(Location("globus", host=collection, path=path), Access(profile=profile))


class WithGlobus:
    """Derive from it for the emulator, and an environment that leads to it, with an application's login."""

    @pytest.fixture(autouse=True)
    def globus(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
        roots = {HERE: tmp_path, THERE: tmp_path / "collection", ELSEWHERE: tmp_path / "other"}
        for root in roots.values():
            root.mkdir(exist_ok=True)
        emulator = Emulator(str(tmp_path / "tasks.json"), {name: str(root) for name, root in roots.items()})
        emulator.auth.applications["application"] = "secret-of-application"
        given = {
            LOCAL_COLLECTION: HERE,
            LOCAL_ROOT: str(tmp_path),
            CLIENT_ID: "application",
            CLIENT_SECRET: "secret-of-application",
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "HOME": str(tmp_path / "home"),
        }
        for name, value in {**given, **emulator.environment}.items():
            monkeypatch.setenv(name, value)
        yield emulator
        emulator.faults.gate.set()
        emulator.stop()


class GlobusTrouble(WithGlobus):
    """With a storage."""

    @pytest.fixture
    def storage(self, globus: Emulator) -> Iterator[QuickGlobusStorage]:
        storage = storage_at()
        yield storage
        storage.close()


def folder_of(emulator: Emulator, storage: GlobusStorage) -> str:
    """Return the local folder that a storage's files are really in."""
    return os.path.normpath(emulator.roots[storage.location.host] + storage.location.path)
