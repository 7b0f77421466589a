"""Many pilots one after another leave no more than one does, and a session that is closed leaves nothing."""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from process_tree import descendants
from resource_bench import only
from resources import TestResource
from trouble_bench import TroubleBench, trouble_bench
from until import until

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow, only("ssh", "slurm", "slurm+ssh")]

PILOTS = 20


@dataclass(frozen=True)
class Held:
    """What this process holds."""

    threads: tuple[str, ...]
    children: int
    descriptors: int

    @classmethod
    def now(cls) -> Held:
        names = sorted(thread.name.partition(" ")[0] for thread in threading.enumerate())
        return cls(tuple(names), len(descendants(os.getpid())), len(os.listdir("/proc/self/fd")))


def live_through_one(at: TroubleBench) -> None:
    """Run a pilot, and wait until the watch of its job has nothing to do any more."""
    at.running().cancel()
    until(lambda: not any(thread.name.startswith("pilot-jobs") for thread in threading.enumerate()))


def test_pilots_leave_nothing(
    resource: TestResource, redis_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(home / "tmp"))
    before = Held.now()
    with trouble_bench(resource, redis_url, home, monkeypatch) as at:
        live_through_one(at)
        after_one = Held.now()
        for _ in range(PILOTS - 1):
            live_through_one(at)
        until(lambda: Held.now() == after_one, lambda: f"{after_one} became {Held.now()}")
    until(lambda: Held.now() == before, lambda: f"{before} became {Held.now()}")
    assert [path.name for path in (home / "tmp").iterdir()] == []
    assert len(list(at.folder.iterdir())) == PILOTS
    assert {path.name for path in at.folder.glob("*/*")} <= {
        "agent.out",
        "agent.err",
        "job.sh",
        "journal",
        "exit_code",
    }
