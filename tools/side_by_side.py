"""A pytest plugin for all tests of the repository: which of them may run at the same time, in which order they start.

Most tests wait for others, so ``pytest --numprocesses`` runs several at once. Those of one file stay together, in one
process, for what they share; those against several systems are apart by system.
"""

from __future__ import annotations

import re

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

FIRST = ("integration/test_pilot", "integration/", "packages/pilot-client/")
"""Start before the others: the longest groups are there."""

_SYSTEM = re.compile(r"\[((?:slurm|sge)(?:\+ssh)?|ssh)\b")


def group(test: str) -> str:
    """Return what a test must not be parted from: its file, or its system there."""
    file = test.partition("::")[0]
    system = _SYSTEM.search(test)
    return f"{file}[{system[1]}" if system and file.startswith("integration/") else file


def order(test: str) -> int:
    """Return the rank by which tests start."""
    return next((rank for rank, start in enumerate(FIRST) if test.startswith(start)), len(FIRST))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort tests that run side by side; within a rank they keep their order, by chance or not."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: order(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Hand out tests by group."""
    config.option.loadscopereorder = False
    return _ByGroup(config, log)


class _ByGroup(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
