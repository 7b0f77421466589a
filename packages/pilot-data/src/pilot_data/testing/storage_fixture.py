"""What tests of storages stand on: the storage, two local folders, and what counts as landed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import pytest

from pilot_data.entries import Outcome
from pilot_data.job import Job
from pilot_data.storage import Storage

from .sample_files import HARD_NAMES

LARGE = 12 * 1024 * 1024
"""Size of a file that is canceled on its way; more than storages move in one piece."""


class StorageFixture:
    """Derive from it, and give it the fixture ``storage``.

    Attributes:
        hard_names: Names that the storage keeps as they are.
    """

    hard_names: ClassVar[tuple[str, ...]] = HARD_NAMES

    @pytest.fixture
    def storage(self) -> Storage:
        """Return the storage to be tested, at a location where nothing is yet."""
        raise NotImplementedError("give the suite a fixture 'storage'")

    def leftovers(self, storage: Storage) -> list[str]:
        """Return the names of all that is stored, also of what is on its way."""
        raise NotImplementedError("tell the suite what is stored")

    @pytest.fixture
    def here(self, tmp_path: Path) -> str:
        """A local folder with the files to be put."""
        folder = tmp_path / "here"
        folder.mkdir()
        return str(folder)

    @pytest.fixture
    def there(self, tmp_path: Path) -> str:
        """A local folder for what is got back; it does not exist."""
        return str(tmp_path / "made" / "there")


def landed(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return outcomes that have no errors."""
    found = list(outcomes)
    assert [outcome.error for outcome in found if outcome.error is not None] == []
    return found


def failed(outcomes: Iterable[Outcome]) -> dict[str, Exception]:
    """Return the errors by the path where the file should have landed."""
    return {outcome.item.target: outcome.error for outcome in outcomes if outcome.error is not None}


def canceled_on_the_way(after: int = LARGE // 3) -> Job:
    """Return a job that is canceled when so many bytes have moved."""
    seen: list[int] = []

    def count(moved: int) -> None:
        seen.append(moved)
        if sum(seen) >= after:
            job.cancel()

    job = Job(on_bytes=count)
    return job


def sha256(data: bytes) -> str:
    """Return 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def names_below(root: str) -> list[str]:
    """Return all files and empty folders below a local folder, as a storage's leftovers."""
    if not os.path.exists(root):
        return []
    found = []
    for folder, folders, names in os.walk(root):
        inside = os.path.relpath(folder, root)
        found += [os.path.normpath(f"{inside}/{name}") for name in names]
        found += [] if folders or names or inside == "." else [inside]
    return sorted(found)
