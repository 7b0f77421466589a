"""Takes replicas away, files first, so that the catalogue never forgets what still lies somewhere."""

from __future__ import annotations

from contextlib import closing

from pilot_protocol.data_records import ReplicaLetter
from pilot_protocol.states import State

from .catalogue import LEASE_S, Catalogue, PilotDataRecord
from .registry import open_storage
from .stager import access_of, place_of


def remove_replica(catalogue: Catalogue, data_unit: str, store: PilotDataRecord) -> None:
    """Remove the files of a data unit from a Pilot-Data. A data unit without replicas is Canceled.

    Raises:
        TransferError: The storage cannot be reached.
        CoordinationError: The catalogue cannot be reached.
    """
    unit = catalogue.data_unit(data_unit)
    if unit is None or store.id not in unit.replicas:
        return
    if len(unit.replicas) == 1:
        catalogue.end_data_unit(data_unit, State.Canceled)
    catalogue.wait_for(lambda: not _is_moving(catalogue, data_unit, store.id), LEASE_S)
    with closing(open_storage(place_of(store, data_unit), access_of(store))) as storage:
        storage.remove_all()
    catalogue.forget(data_unit, store.id)


def remove_data_unit(catalogue: Catalogue, data_unit: str) -> None:
    """Remove the files of a data unit from everywhere, and cancel it.

    Raises:
        TransferError: A storage cannot be reached.
        CoordinationError: The catalogue cannot be reached.
    """
    catalogue.end_data_unit(data_unit, State.Canceled)
    unit = catalogue.data_unit(data_unit)
    for name in unit.replicas if unit is not None else ():
        store = catalogue.pilot_data(name)
        if store is not None:
            remove_replica(catalogue, data_unit, store)


def _is_moving(catalogue: Catalogue, data_unit: str, store: str) -> bool:
    """Return whether somebody still moves files there: who does ends soon, when the data unit or its place has ended."""
    unit = catalogue.data_unit(data_unit)
    replica = unit.replicas.get(store) if unit is not None else None
    return replica is not None and replica.letter == ReplicaLetter.RUNNING
