"""Stand-ins for batch systems that cannot be had: commands of their names, which really run jobs as processes.

They speak the formats of LSF, HTCondor, LoadLeveler, Cobalt, Torque and PBS Pro as far as clients read them. Those of PBS Pro
are recorded from OpenPBS 23.06; the others follow manuals, other clients' sources and what radical.saga parses. What passes
here is not proven for the real ones.

    with fake_batch.start("lsf", cores=2) as cluster:
        environ["PATH"] = f"{cluster.path}:{environ['PATH']}"   # bsub, bjobs, bkill, bqueues

The invariant: when the context is left, no process of a job or a runner is left.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cluster import FOLDER, ROOT, RUNNING, Cluster, Settings, make
from .runner import children, send, session
from .systems import SYSTEMS

__all__ = ["FakeBatch", "start"]

SYSTEM_PYTHON = "/usr/bin/python3"

_LAUNCHER = """#!{python} -S
# {notice}
import os, sys
os.environ.setdefault({variable!r}, {folder!r})
sys.path.insert(0, {root!r})
from fake_batch.front import main
main({command!r})
"""


@dataclass(frozen=True)
class FakeBatch:
    """A cluster that stands in for a real one.

    Attributes:
        path: The folder of its commands, to be put first on ``PATH``. They need no other variable.
        cluster: Its jobs.
    """

    path: Path
    cluster: Cluster

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Let its commands fail as if its servers were down, for the length of a block; jobs run on."""
        mark = self.cluster.folder / "down"
        mark.touch()
        try:
            yield
        finally:
            mark.unlink()

    def forget(self) -> None:
        """Forget the jobs that have ended."""
        self.cluster.forget()

    def calls(self) -> list[str]:
        """Return the commands that were given, with their arguments."""
        file = self.cluster.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@contextmanager
def start(system: str, account: str | None = None, **settings: Any) -> Iterator[FakeBatch]:
    """Make a cluster; end its jobs and remove it afterwards.

    Args:
        system: ``lsf``, ``condor``, ``loadl``, ``cobalt``, ``torque`` or ``pbspro``.
        account: Whose cluster it is; None: this user's. Its commands need neither our files nor our interpreter.
        settings: See :class:`~fake_batch.cluster.Settings`: ``cores``, ``queues``, ``minute_s``, …
    """
    folder = Path(tempfile.mkdtemp(prefix=f"fake-{system}-"))
    cluster = make(folder, Settings(system, **settings))
    try:
        path = _install(folder, system, account)
        if account is not None:
            _give(folder, account)
        yield FakeBatch(path, cluster)
    finally:
        _end(cluster)
        shutil.rmtree(folder)


def _install(folder: Path, system: str, account: str | None) -> Path:
    path = folder / "bin"
    path.mkdir()
    python, root = sys.executable, ROOT
    if account is not None:  # which may not be able to read them
        python, root = SYSTEM_PYTHON, folder / "lib"
        shutil.copytree(ROOT / __name__, root / __name__, ignore=shutil.ignore_patterns("__pycache__"))
    for command in SYSTEMS[system].commands:
        text = _LAUNCHER.format(
            python=python,
            notice=f"{command}: a stand-in of the tests of pilot",
            variable=FOLDER,
            folder=str(folder),
            root=str(root),
            command=command,
        )
        (path / command).write_text(text)
        (path / command).chmod(0o755)
    return path


def _give(folder: Path, account: str) -> None:
    (folder / "lock").touch()
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, account)


def _end(cluster: Cluster) -> None:
    with cluster.locked():  # nothing is started any more
        for job in cluster.jobs():
            if job.state != RUNNING:
                continue
            leaders = {*children(job.runner), *([job.pid] if job.pid else [])}
            send(job.runner, signal.SIGKILL)
            # Again, until none is left: one that was not seen yet may just have been started.
            while left := [process for leader in leaders for process in session(leader)]:
                for process in left:
                    send(process, signal.SIGKILL)
