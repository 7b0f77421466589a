"""Takes replicas away, files first, so that the catalogue never forgets what still lies somewhere."""

from __future__ import annotations

from contextlib import closing

from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import TransferError
from pilot_protocol.states import State, is_final

from .catalogue import LEASE_S, Catalogue, PilotDataRecord
from .replicas import open_replica


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
    elif not is_final(unit.state) and not is_final(store.state):
        _withdraw(catalogue, unit.replicas[store.id])
    _remove_files(catalogue, data_unit, store)
    left = catalogue.data_unit(data_unit)
    if left is not None and not left.replicas:
        catalogue.end_data_unit(data_unit, State.Canceled)


def remove_data_unit(catalogue: Catalogue, data_unit: str) -> None:
    """Remove the files of a data unit from everywhere, and cancel it.

    Raises:
        TransferError: A storage cannot be reached; those that can be are emptied.
        CoordinationError: The catalogue cannot be reached.
    """
    catalogue.end_data_unit(data_unit, State.Canceled)
    unit = catalogue.data_unit(data_unit)
    failed = []
    for store in map(catalogue.pilot_data, unit.replicas if unit is not None else ()):
        try:
            if store is not None:
                _remove_files(catalogue, data_unit, store)
        except TransferError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _withdraw(catalogue: Catalogue, replica: ReplicaRecord) -> None:
    """Take the lease from who moves files to a replica that nobody wants any more, and wait until it was given up.

    Who moves them removes what has arrived, and forgets the replica.
    """
    if replica.letter != ReplicaLetter.RUNNING:
        return
    if catalogue.settle(replica._replace(letter=ReplicaLetter.CANCELED, reason="it was removed")):
        catalogue.wait_for(
            lambda: _letter(catalogue, replica.data_unit, replica.pilot_data) != ReplicaLetter.CANCELED,
            LEASE_S,
        )


def _remove_files(catalogue: Catalogue, data_unit: str, store: PilotDataRecord) -> None:
    # Who moves files there ends soon, now that the data unit or its place has ended.
    catalogue.wait_for(lambda: _letter(catalogue, data_unit, store.id) != ReplicaLetter.RUNNING, LEASE_S)
    with closing(open_replica(store, data_unit)) as storage:
        storage.remove_all()
    catalogue.forget(data_unit, store.id)


def _letter(catalogue: Catalogue, data_unit: str, store: str) -> str:
    unit = catalogue.data_unit(data_unit)
    replica = unit.replicas.get(store) if unit is not None else None
    return replica.letter if replica is not None else ""
