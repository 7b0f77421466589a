"""The adaptor of local folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Storage
from pilot_data.testing import StorageSuite
from pilot_data.testing.storage_fixture import names_below


class TestFileStorage(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return open_storage(Location("file", path=str(tmp_path / "store")))

    def leftovers(self, storage: Storage) -> list[str]:
        return list(names_below(storage.location.path))
