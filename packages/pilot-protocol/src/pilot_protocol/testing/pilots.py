"""What a session in memory knows of a pilot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pilot_protocol.operation import Argument

from .placing import Site
from .records import Queue


@dataclass
class MemoryPilot:
    """What is known of a pilot."""

    service: str = ""
    state: str = ""
    epoch: str = ""
    instance: str = ""
    label: tuple[str, str] = ("", "")
    size: tuple[float, ...] = (0, 0, 0, 0)
    """Cores, cores of one node, GPUs, memory in MB."""
    claimed: tuple[int, list[str]] = (-1, [])
    """The last claim's number and units."""
    orders: list[tuple[int, bytes]] = field(default_factory=list)
    free: int | None = None
    """Cores; as far as is known."""
    unit_s: float = 10
    lease: str = ""
    """Empty without one, else ``runs`` or ``passed``."""

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.state in {"Done", "Failed", "Canceled"}

    def describe(self, record: Mapping[Argument, Argument]) -> None:
        """Take what an agent says of it."""
        datacenter, _, machine = str(record.get("label", ",")).partition(",")
        sizes = (record.get("cores", 0), record.get("node_cores", 0), record.get("gpus", 0))
        self.size = (*map(float, sizes), float(record.get("memory_mb") or "inf"))
        self.label = datacenter, machine
        self.unit_s = float(record.get("unit_s", self.unit_s))
        self.free = int(record.get("free_cores", self.size[0] if self.free is None else self.free))
        self.service = str(record.get("service", self.service))

    def fits(self, queue: Queue) -> bool:
        """Tell whether it is large enough for the units of a queue."""
        return all(asked <= there for asked, there in zip(queue.size, self.size))

    def is_near(self, queue: Queue) -> bool:
        """Tell whether it is where the units of a queue want to be."""
        return all(wish in {"", place} for wish, place in zip(queue.label, self.label))


def sites_among(pilots: Sequence[MemoryPilot], queue: Queue) -> list[Site]:
    """Return the sites of pilots: those where a queue's units want to be, or all if there are none."""
    by_label: dict[tuple[str, str], list[MemoryPilot]] = {}
    for pilot in [pilot for pilot in pilots if pilot.is_near(queue)] or pilots:
        by_label.setdefault(pilot.label, []).append(pilot)
    return [_site_of(together) for together in by_label.values()]


def _site_of(pilots: Sequence[MemoryPilot]) -> Site:
    cores = sum(int(pilot.size[0]) for pilot in pilots)
    free = sum(max(pilot.free or 0, 0) for pilot in pilots)
    return Site(pilots[0].label, cores, free, sum(pilot.unit_s for pilot in pilots) / len(pilots))
