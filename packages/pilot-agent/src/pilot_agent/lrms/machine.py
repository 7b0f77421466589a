"""What the kernel lets this process have of the machine: CPUs that it may run on, time on them, memory."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from .cgroups import NO_LIMITS, Limits, read_limits


@dataclass(frozen=True)
class Machine:
    """This machine.

    Attributes:
        name: The host's name.
        cpus: Numbers of the CPUs that the affinity mask allows.
        limits: Of the control groups.
    """

    name: str
    cpus: tuple[int, ...]
    limits: Limits = NO_LIMITS

    @property
    def cores(self) -> int:
        """Cores that can be kept busy."""
        return min(len(self.cpus), self.limits.cores or len(self.cpus))


def this_machine() -> Machine:
    """Look at the machine that this process runs on."""
    return Machine(socket.gethostname(), tuple(sorted(os.sched_getaffinity(0))), read_limits(Path("/")))
