"""For whoever writes an adaptor: the suite that every storage passes. Needs pytest."""

import pytest

for _module in ("storage_fixture", "storage_moves", "storage_upkeep"):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from .storage_suite import StorageSuite  # noqa: E402 - asserts are rewritten before they are imported

__all__ = ["StorageSuite"]
