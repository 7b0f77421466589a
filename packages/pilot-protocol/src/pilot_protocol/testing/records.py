"""What a session in memory knows of a unit, and what the name of a queue says."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(r"([^|]*)\|(\d+)\|(\d+)\|([cr]?)([^<>]*)<?([^<>]*)>?([^<>]*)")
_QUEUE = re.compile(r"([^/]*)/([^/,]*),([^/,]*)/(\d+)\.(\d+)\.(\d+)\.(\d+)/(-?\d+)")


@dataclass
class MemoryUnit:
    """What is known of a unit."""

    queue: str
    retries: int
    restarts: int
    description: bytes
    letter: str = "N"
    attempt: int = 0
    pilot: str = ""
    open_predecessors: int = 0
    vain_claims: int = 0
    """How often it came back unstarted since it last started."""
    result: bytes = b""
    mode: str = ""
    """``c`` if it is to be canceled when something that it waits for does not end well."""
    inputs: tuple[str, ...] = ()
    """Data units that it reads; none once it has ended, like outputs."""
    outputs: tuple[str, ...] = ()
    """Data units that it adds files to."""
    wish: tuple[str, str] = ("", "")
    """Datacenter and machine of the queue that it was submitted to."""
    placement: str = ""
    """As the scripts write it; empty without one."""
    waits_for_copies: bool = False

    @property
    def site(self) -> str:
        """The label of the site that it was placed at."""
        return self.placement.split("|")[1]

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.letter in "DFC"

    @property
    def is_held(self) -> bool:
        """Whether a pilot has it."""
        return self.letter in "ASR"


@dataclass(frozen=True)
class Queue:
    """A queue's name, taken apart."""

    name: str
    owner: str
    label: tuple[str, str]
    size: tuple[int, ...]
    """Cores, cores in one block, GPUs, memory in MB: what a pilot must have."""
    priority: int

    @classmethod
    def named(cls, name: str) -> Queue:
        """Return the queue of this name."""
        found = _QUEUE.fullmatch(name)
        if found is None:
            raise ValueError(f"{name!r} names no queue")
        owner, datacenter, machine, *size, priority = found.groups()
        return cls(name, owner, (datacenter, machine), tuple(map(int, size)), int(priority))

    @property
    def cores(self) -> int:
        """Cores of each of its units."""
        return self.size[0]

    def of(self, label: tuple[str, str]) -> Queue:
        """Return the queue for the same units at another site."""
        owner, _, shape, priority = self.name.split("/")
        return Queue.named(f"{owner}/{','.join(label)}/{shape}/{priority}")


def new_unit(header: str, description: bytes) -> tuple[MemoryUnit, list[str]]:
    """Return a unit as it is submitted, and its predecessors."""
    found = _HEADER.fullmatch(header)
    if found is None:
        raise ValueError(f"{header!r} is no unit's header")
    queue, retries, restarts, mode, predecessors, inputs, outputs = found.groups()
    unit = MemoryUnit(queue, int(retries), int(restarts), description, mode=mode)
    unit.inputs, unit.outputs = tuple(inputs.split()), tuple(outputs.split())
    unit.wish = Queue.named(queue).label
    return unit, predecessors.split()
