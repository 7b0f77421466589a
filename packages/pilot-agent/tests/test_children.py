"""Orphans are told from the children that this process started."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from pilot_agent.spawn.children import Children


@pytest.fixture
def pid() -> Iterator[int]:
    """A child of this process, dead and not reaped: it counts until it is."""
    with subprocess.Popen(["/bin/true"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read() == b""
        yield child.pid


def test_a_child_is_an_orphan_unless_it_leads_a_unit(pid: int) -> None:
    children = Children()
    assert children.has_orphans(frozenset())
    others = {int(name) for name in children._read().split()} - {pid}
    assert not children.has_orphans({pid, *others})
    assert children.has_orphans(others)


def test_there_may_be_orphans_where_the_kernel_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilot_agent.spawn.children._LIST", "/proc/nothing/{}")
    assert Children().has_orphans(frozenset())
