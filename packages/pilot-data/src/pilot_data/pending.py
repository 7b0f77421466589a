"""What data units lack, and what replicas that nobody makes yet wait for, as far as that can be told from here."""

from __future__ import annotations

from pilot_protocol.data_records import ReplicaLetter
from pilot_protocol.states import State, is_final

from .catalogue import Catalogue, DataUnitRecord
from .replicas import whole_at
from .ways import Here, Obstacle, way_to

NOT_BEGUN = "nobody has begun with it; a process that serves its Pilot-Data does, like pilot-data serve"


def why_pending(unit: DataUnitRecord, waits: dict[str, str]) -> str:
    """Return what a data unit waits for; empty when it is not Pending, or its files move.

    Args:
        unit: The data unit.
        waits: What its replicas wait for, see `what_replicas_wait_for`.
    """
    if unit.state is not State.Pending:
        return ""
    if unit.producers:
        return f"compute units are still to add files to it: {unit.producers}"
    if not unit.replicas:
        return "it is not asked for at any Pilot-Data"
    return next(iter(waits.values()), "")


def what_lacks(unit: DataUnitRecord) -> str:
    """Return which compute unit was to add files to a data unit and has not, or how many replicas there are too few.

    Empty when nothing lacks.
    """
    if unit.spoilt_by:
        return f"compute unit {unit.spoilt_by} was to add files to it, and has not ended well"
    wanted, found = unit.description.get("number_of_replicas", 1), len(whole_at(unit))
    if unit.state is not State.Running or found >= wanted:
        return ""
    return (
        f"it asks for {wanted} replicas and has {found}; add_pilot_data() brings it to a further Pilot-Data"
    )


def what_replicas_wait_for(catalogue: Catalogue, unit: DataUnitRecord) -> dict[str, str]:
    """Return, by Pilot-Data, what the replicas of a data unit wait for that are asked for and not begun.

    Args:
        catalogue: Knows the Pilot-Data.
        unit: The data unit.
    """
    waiting = [name for name, replica in unit.replicas.items() if replica.letter == ReplicaLetter.PENDING]
    if not waiting or is_final(unit.state):
        return {}
    found = map(catalogue.pilot_data, unit.replicas)
    stores = {store.id: store for store in found if store is not None}
    here = Here.of(catalogue)
    reasons: dict[str, str] = {}
    for name in waiting:
        if unit.producers:
            reasons[name] = "it is made when no compute unit is to add files any more"
            continue
        way = way_to(unit, name, stores, here, waiting) if name in stores else None
        told = unit.replicas[name].reason
        reasons[name] = way.reason if isinstance(way, Obstacle) else NOT_BEGUN
        reasons[name] += f"; the last attempt: {told}" if told else ""
    return reasons
