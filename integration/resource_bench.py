"""A resource in the hands of a test: descriptions of pilots for it, its batch commands, and what pilots left there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from child_program import home_environment, processes_of
from daemons import run
from resources import TestResource
from until import until

_LISTED = {"slurm": ["squeue", "-h", "-o", "%i %T %r %j"], "sge": ["qstat"]}
_ALL_OF_SGE = ("-q", "all.q", "-pe", "smp", "4", "-o", "/dev/null", "-e", "/dev/null", "-b", "y")


@dataclass(frozen=True)
class ResourceBench:
    """A resource.

    Attributes:
        resource: Where pilots are started.
    """

    resource: TestResource

    @property
    def folder(self) -> Path:
        """The working directory of the pilots."""
        return self.resource.home / "agent"

    @property
    def system(self) -> str:
        """The batch system, or ``ssh``."""
        return self.resource.service_url.partition(":")[0].partition("+")[0]

    def described(self, **keys: Any) -> dict[str, Any]:
        """Return a description of a pilot that would start, with other values for some keys."""
        usual = {
            "service_url": self.resource.service_url,
            "number_of_processes": 1,
            "walltime": 5,
            "working_directory": str(self.folder),
        }
        return {**usual, **keys}

    def variables(self, home: Path) -> Mapping[str, str]:
        """Return the environment of a client with a home of its own."""
        return home_environment(home, **self.resource.variables)

    def command(self, *words: str) -> str:
        """Run a command of the batch system."""
        done = run(words, self.resource.variables)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def queue(self) -> dict[str, str]:
        """Return the jobs that the batch system lists, each with its line; none where there is no batch system."""
        text = self.command(*_LISTED[self.system]) if self.system in _LISTED else ""
        return {line.split()[0]: line for line in text.splitlines() if line.split()[0].isdigit()}

    def remove(self, job: str) -> None:
        """Remove a job, by hand."""
        self.command("scancel" if self.system == "slurm" else "qdel", job)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Hold all that the batch system has for the length of a block."""
        job = self._hold_slurm() if self.system == "slurm" else self._hold_sge()
        try:
            yield
        finally:
            self.remove(job)
            if self.system == "sge":
                self.command("qmod", "-e", "short.q")

    def _hold_slurm(self) -> str:
        job = self.command("sbatch", "--parsable", "-N2", "--exclusive", "-o/dev/null", "--wrap=sleep 600")
        until(lambda: self.command("squeue", "-h", "-tR"), self.queue)
        return job.strip()

    def _hold_sge(self) -> str:
        job = self.command("qsub", "-terse", *_ALL_OF_SGE, "sleep", "600")
        self.command("qmod", "-d", "short.q")
        until(lambda: self.command("qstat", "-s", "r"), self.queue)
        return job.strip()

    def check_nothing_left(self) -> None:
        """Assert that no process, job or secret of the pilots is left."""
        until(lambda: not self.processes(), self.processes)
        until(lambda: not self.queue(), self.queue)
        assert not [*self.folder.rglob("agent.json"), *self.folder.rglob(".agent-*")]

    def processes(self, pilot: str = "") -> dict[int, str]:
        """Return processes and command lines of the pilots, or of one."""
        return dict(processes_of(self.folder / pilot))


def only(*systems: str) -> pytest.MarkDecorator:
    """Return the mark of tests for some systems: names that `resources.running_resource` knows."""
    return pytest.mark.parametrize("resource", systems, indirect=True)
