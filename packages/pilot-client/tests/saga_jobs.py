"""Jobs, and targets that answer commands with texts of the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pilot.submission.queue import Job
from pilot.submission.saga.systems import ShellAnswer


def job(**fields: Any) -> Job:
    """Return a job of one core in a plain folder."""
    folder = fields.pop("folder", "/work/p-1")
    paths = {
        "script": f"{folder}/job.sh",
        "folder": folder,
        "output": f"{folder}/out",
        "error": f"{folder}/err",
    }
    return Job(**{"name": "pilot-p-1", "walltime_min": 10.0, "cores": 1, **paths, **fields})


@dataclass
class ToldTarget:
    """A target whose answers are given.

    Attributes:
        answers: Exit code and text by the first word of a command.
        told: What radical.saga says of jobs.
        failures: What goes wrong when radical.saga cancels.
        commands: What was run.
    """

    answers: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def run(self, command: str) -> ShellAnswer:
        """Answer a command."""
        self.commands.append(command)
        program = command.split()[2 if command.startswith("timeout") else 0]
        return ShellAnswer(*self.answers[program])

    def ask_saga(self, jobs: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Say what is told of jobs."""
        return {each: self.told[each] for each in jobs}

    def cancel_by_saga(self, jobs: Sequence[str]) -> Mapping[str, str]:
        """Say what goes wrong."""
        return {each: self.failures[each] for each in jobs if each in self.failures}
