"""Chooses the Pilot-Data of a new data unit. Pure: decides by what the catalogue knows of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pilot_protocol.errors import DescriptionError
from pilot_protocol.states import State

from .catalogue import PilotDataRecord

_LABELS = ("affinity_datacenter_label", "affinity_machine_label")


def choose_stores(stores: Sequence[PilotDataRecord], description: Mapping[str, Any]) -> list[str]:
    """Return as many Pilot-Data as a data unit asks for: those near its labels first, then those with most room.

    Args:
        stores: Those that may be used, ended ones too.
        description: Of the data unit, as it was validated.

    Raises:
        DescriptionError: There are fewer.
    """
    count: int = description.get("number_of_replicas", 1)
    running = [store for store in stores if store.state is State.Running]
    if len(running) < count:
        raise DescriptionError(
            f"the data unit asks for {'1 replica' if count == 1 else f'{count} replicas'}, and there are {len(running)} "
            "Pilot-Data that are Running; create more, add their PilotDataService to the ComputeDataService, or ask for "
            "fewer",
            key="number_of_replicas",
            value=count,
        )

    def preference(store: PilotDataRecord) -> tuple[bool, bool, float, int]:
        free = store.size_bytes - store.used_bytes if store.size_bytes else math.inf
        return (free <= 0, not is_near(store.description, description), -free, store.used_bytes)

    return [store.id for store in sorted(running, key=preference)[:count]]


def is_near(store: Mapping[str, Any], wish: Mapping[str, Any]) -> bool:
    """Return whether a Pilot-Data is where a data unit wishes to be; a label that is not given fits all.

    Args:
        store: Description of the Pilot-Data.
        wish: Description of the data unit.
    """
    datacenter, machine = (wish.get(key, "") for key in _LABELS)
    its_datacenter, its_machine = (store.get(key, "") for key in _LABELS)
    return datacenter in {"", its_datacenter} and (not its_machine or machine in {"", its_machine})


def has_home_yet_to_come(description: Mapping[str, Any]) -> bool:
    """Return whether a data unit may be kept where its first files are made: it has none, and wishes nothing."""
    return not any(description.get(key) for key in ("file_urls", *_LABELS))
