"""The engine of the stand-ins: a cluster whose state is a folder, and whose commands are short-lived programs.

There is no daemon. Who submits a job or sees one end starts what fits then; each running job has a runner, a process that
waits for it. The invariant: job files are read and written under one lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

FOLDER = "FAKE_BATCH_FOLDER"
"""The environment variable that names the folder of the cluster."""

ROOT = Path(__file__).resolve().parents[1]
"""Where the package ``clusters`` is found."""

NOTICE = "a stand-in of the tests of pilot; no batch system is here"

QUEUED, RUNNING, ENDED = "queued", "running", "ended"


@dataclass(frozen=True)
class Settings:
    """A cluster as its administrators made it.

    Attributes:
        system: Which batch system it stands in for.
        cores: In all.
        host: The name of its only machine.
        queues: Their longest walltime, in minutes; the first is the default.
        projects: That may be charged; empty: any.
        minute_s: How long a minute of walltime takes, in seconds.
        grace_s: Between the signals that end a job, in seconds.
    """

    system: str
    cores: int = 2
    host: str = "head"
    queues: dict[str, float] = field(default_factory=lambda: {"normal": 120.0, "short": 10.0})
    projects: tuple[str, ...] = ()
    minute_s: float = 60.0
    grace_s: float = 10.0


@dataclass(frozen=True)
class Record:
    """A job.

    Attributes:
        number: Given by the cluster, from 1 on.
        name: What users call it.
        queue: Where it waits.
        project: That pays.
        cores: It holds.
        walltime_min: It may run, in minutes.
        argv: Its program.
        folder: In which it runs.
        output: File for standard output; empty: none.
        error: File for standard error.
        environment: That its program finds, without what the cluster adds.
        extra: What only its own batch system knows.
        state: ``queued``, ``running`` or ``ended``.
        submitted, started, ended: Unix times; 0: not yet.
        code: It exited with; None: it did not exit.
        signal: That ended it; None: none did.
        reason: ``cancelled`` or ``walltime`` if it was ended.
        runner: The process that waits for it.
        pid: Its first process.
    """

    number: int
    name: str
    queue: str
    project: str
    cores: int
    walltime_min: float
    argv: list[str]
    folder: str
    output: str
    error: str
    environment: dict[str, str]
    extra: dict[str, str] = field(default_factory=dict)
    state: str = QUEUED
    submitted: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    code: int | None = None
    signal: int | None = None
    reason: str = ""
    runner: int = 0
    pid: int = 0


class Cluster:
    """A cluster in a folder.

    Args:
        folder: That :func:`make` has made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = json.loads((folder / "settings.json").read_text())
        self.settings = Settings(**{**content, "projects": tuple(content["projects"])})

    @property
    def is_down(self) -> bool:
        """Whether its servers do not answer."""
        return (self.folder / "down").exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else looks at jobs meanwhile."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def jobs(self) -> list[Record]:
        """Return all jobs that are not forgotten, in the order of submission."""
        files = sorted((self.folder / "jobs").glob("*.json"), key=lambda path: int(path.stem))
        return [Record(**json.loads(path.read_text())) for path in files]

    def job(self, number: int) -> Record | None:
        """Return a job; None: it is not known."""
        path = self._path(number)
        return Record(**json.loads(path.read_text())) if path.exists() else None

    def submit(self, make: Callable[[int], Record]) -> Record:
        """Take a job, made with its number, and start what fits."""
        with self.locked():
            counter = self.folder / "counter"
            number = int(counter.read_text()) + 1
            counter.write_text(str(number))
            record = replace(make(number), submitted=time.time())
            self._write(record)
            self._start_what_fits()
        return record

    def change(self, number: int, **changes: Any) -> Record:
        """Write down what has become of a job, and start what fits."""
        with self.locked():
            record = self._read(number)
            record = replace(record, **changes)
            self._write(record)
            self._start_what_fits()
        return record

    def cancel(self, number: int) -> None:
        """Remove a waiting job, or have its runner end it."""
        with self.locked():
            record = self._read(number)
            if record.state == QUEUED:
                self._write(replace(record, state=ENDED, ended=time.time(), reason="cancelled"))
            elif record.state == RUNNING:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(record.runner, signal.SIGTERM)

    def forget(self) -> None:
        """Forget the jobs that have ended."""
        with self.locked():
            for record in self.jobs():
                if record.state == ENDED:
                    self._path(record.number).unlink()

    def script(self, number: int) -> Path:
        """Return where the copy of a job's script is kept."""
        return self.folder / "jobs" / f"{number}.script"

    def _path(self, number: int) -> Path:
        return self.folder / "jobs" / f"{number}.json"

    def _read(self, number: int) -> Record:
        return Record(**json.loads(self._path(number).read_text()))

    def _write(self, record: Record) -> None:
        path = self._path(record.number)
        fresh = path.with_suffix(".fresh")
        fresh.write_text(json.dumps(asdict(record)))
        fresh.rename(path)

    def _end_lost(self) -> None:
        """Write down jobs that ended with their runner: there is no daemon, so who kills all that it started kills it, too."""
        for job in self.jobs():
            if job.state == RUNNING and not Path("/proc", str(job.runner)).exists():
                self._write(replace(job, state=ENDED, ended=time.time(), signal=int(signal.SIGKILL)))

    def _start_what_fits(self) -> None:
        self._end_lost()
        jobs = self.jobs()
        free = self.settings.cores - sum(job.cores for job in jobs if job.state == RUNNING)
        for job in jobs:
            if job.state == QUEUED and job.cores <= free:
                free -= job.cores
                runner = start_runner(self.folder, job.number)
                self._write(replace(job, state=RUNNING, started=time.time(), runner=runner))


def start_runner(folder: Path, number: int) -> int:
    """Start the process that waits for a job; it finds SIGTERM blocked, so that no cancellation comes too early."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from fake_batch.runner import main; main()"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    with (folder / "runners.log").open("a") as log:
        runner = subprocess.Popen(
            [sys.executable, "-S", "-c", code, str(folder), str(number)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    runner.returncode = 0  # it outlives us: nobody here waits for it
    return runner.pid


def make(folder: Path, settings: Settings) -> Cluster:
    """Make a cluster in an empty folder."""
    (folder / "jobs").mkdir()
    (folder / "counter").write_text("0")
    (folder / "settings.json").write_text(json.dumps(asdict(settings)))
    return Cluster(folder)
