"""How near Pilot-Data are to a pilot, and which of them takes the files that it makes. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pilot_data.catalogue import PilotDataRecord


@dataclass(frozen=True)
class Label:
    """Where a pilot is, as its description says; empty for nothing said."""

    datacenter: str
    machine: str


def is_near(store: PilotDataRecord, label: Label) -> bool:
    """Return whether a Pilot-Data is where a pilot is: in its datacenter, and at its machine or at none in particular."""
    return distance(store, label) == 0


def distance(store: PilotDataRecord, label: Label) -> int:
    """Return 0 for a Pilot-Data that is near a pilot, 1 for one in its datacenter, 2 for others."""
    if store.description.get("affinity_datacenter_label", "") != label.datacenter:
        return 2
    machine = store.description.get("affinity_machine_label", "")
    return 0 if machine == label.machine or not (machine and label.machine) else 1


def best_home(
    stores: Iterable[PilotDataRecord], label: Label, is_here: Callable[[PilotDataRecord], bool]
) -> PilotDataRecord | None:
    """Return where the first files of a data unit go: seen from here, then near, then with most room.

    Args:
        stores: Those that may be chosen.
        label: Of the pilot that makes the files.
        is_here: Whether this machine sees its folder.

    Returns:
        None when there are none.
    """
    return min(
        stores,
        key=lambda store: (not is_here(store), distance(store, label), -_room(store), store.id),
        default=None,
    )


def _room(store: PilotDataRecord) -> float:
    return store.size_bytes - store.used_bytes if store.size_bytes else math.inf
