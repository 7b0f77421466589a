"""What the contract of queues is tested on: a queue of each kind, a sandbox, and scripts that end when they are told to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_batch
from pilot.submission.command_queue import CommandQueue
from pilot.submission.dialects import DIALECTS
from pilot.submission.process_queue import ProcessQueue
from pilot.submission.queue import Job, JobPhase, JobState, Queue
from plain_place import PlainPlace
from until import LIMIT_S, until

BATCH = ("torque", "pbspro", "lsf", "condor")
UNKNOWN = {"process": "1.1:/nowhere", "lsf": "99999", "condor": "99999.0"}

GATED = 'read code <"$0.gate"; exit $code'
PATIENT = """trap 'echo told >"$0.told"; exit 9' TERM INT USR2
echo $$ >"$0.pid"
sleep 1000 & wait"""


@dataclass(frozen=True)
class Bench:
    """A queue and what it is tested with.

    Attributes:
        kind: ``process`` or a batch system.
        folder: Of the sandboxes.
        place: Where the commands run.
        cluster: The stand-in; None for processes.
    """

    kind: str
    folder: Path
    place: PlainPlace
    cluster: fake_batch.FakeBatch | None

    def queue(self) -> Queue:
        """Return a new queue, as another client would make it."""
        if self.kind == "process":
            return ProcessQueue(self.place, grace_s=LIMIT_S)
        return CommandQueue(self.place, DIALECTS[self.kind])

    @property
    def batch(self) -> fake_batch.FakeBatch:
        """The stand-in of a batch system."""
        assert self.cluster is not None
        return self.cluster

    @property
    def unknown(self) -> str:
        """An id that nobody was given."""
        return UNKNOWN.get(self.kind, "99999.head")

    def job(self, body: str, name: str = "run", **more: Any) -> Job:
        """Return a job with a sandbox of its own, whose script has this body."""
        sandbox = self.folder / name
        sandbox.mkdir()
        script = sandbox / "go"
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o700)
        if body == GATED:
            os.mkfifo(f"{script}.gate")
        return Job(
            name=f"pilot-p-{name}",
            script=str(script),
            folder=str(sandbox),
            output=f"{script}.out",
            error=f"{script}.err",
            **{"walltime_min": 5, "cores": 1, **more},
        )

    def open_gate(self, name: str, code: int) -> None:
        """Let a gated script end; returns when it has begun to read."""
        (self.folder / name / "go.gate").write_text(f"{code}\n")

    def gone(self) -> bool:
        """Whether no process has anything of the sandboxes on its command line."""
        return not any(str(self.folder).encode() in line for line in _command_lines())


@contextmanager
def bench(kind: str, folder: Path, **settings: Any) -> Iterator[Bench]:
    """Yield a bench with a queue of this kind."""
    folder.mkdir()
    if kind == "process":
        yield Bench(kind, folder, PlainPlace(), None)
        return
    with fake_batch.start(kind, **settings) as cluster:
        yield Bench(kind, folder, PlainPlace(str(cluster.path)), cluster)


def until_phase(queue: Queue, job: str, phase: JobPhase) -> JobState:
    """Wait until a job is that far; return its state."""
    until(lambda: queue.states([job])[job].phase is phase)
    return queue.states([job])[job]


def _command_lines() -> Iterator[bytes]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield (folder / "cmdline").read_bytes()
        except OSError:
            continue
