"""The adaptor of Globus against the emulator: what every storage promises."""

from __future__ import annotations

import pytest

from globus_emulator.server import Emulator
from globus_fixture import WithGlobus, folder_of, storage_at
from pilot_data.adaptors.globus.storage import GlobusStorage
from pilot_data.storage import Storage
from pilot_data.testing import StorageSuite
from pilot_data.testing.storage_fixture import names_below


@pytest.mark.timeout(180)  # a rename for each of 700 files, through HTTP
class TestGlobusStorage(WithGlobus, StorageSuite):
    @pytest.fixture
    def storage(self, globus: Emulator) -> Storage:
        self.emulator = globus
        return storage_at()

    def leftovers(self, storage: Storage) -> list[str]:
        assert isinstance(storage, GlobusStorage)
        return list(names_below(folder_of(self.emulator, storage)))
