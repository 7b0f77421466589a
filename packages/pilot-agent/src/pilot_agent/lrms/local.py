"""What a pilot without a batch system holds: cores of this machine.

Cores are numbered as the kernel does. A pilot that asks for all CPUs that it may run on owns them, and its units are
pinned. One that asks for fewer shares the machine with others, perhaps with other pilots, which would all pin to the
same first cores; one that asks for more has no core for each number. Their units run wherever the kernel puts them.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class LocalNode:
    """This machine as the pilot's only node."""

    name: str
    cores: int
    cpus: tuple[int, ...]
    """CPU number of each core; empty when units are not pinned."""


def detect(cores: int) -> LocalNode:
    """Return this machine as the node of a pilot that asked for ``cores``."""
    allowed = tuple(sorted(os.sched_getaffinity(0)))
    return LocalNode(socket.gethostname(), cores, allowed if len(allowed) == cores else ())
