"""What every storage promises, as tests. An adaptor passes them by a class of its own in its test module:

class TestMyStorage(StorageSuite):
    @pytest.fixture
    def storage(self): ...            # at a location of its own, where nothing is yet

    def leftovers(self, storage):     # all names that are really there, partial ones as well
"""

from __future__ import annotations

from .storage_moves import StorageMoves
from .storage_upkeep import StorageUpkeep


class StorageSuite(StorageMoves, StorageUpkeep):
    """Derive from it, and give it the fixture ``storage`` and ``leftovers``."""
