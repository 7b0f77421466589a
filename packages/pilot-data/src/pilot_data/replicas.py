"""Where the replicas of data units are, how they are, and how they are entered."""

from __future__ import annotations

from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import StateError, TransferError
from pilot_protocol.states import State, is_final

from .bundled_storage import BundledStorage
from .catalogue import Catalogue, DataUnitRecord, PilotDataRecord, unit_in
from .locations import Location, parse
from .registry import open_storage
from .storage import Access, Storage

_STATES = {
    ReplicaLetter.PENDING: State.Pending,
    ReplicaLetter.RUNNING: State.Staging,
    ReplicaLetter.DONE: State.Done,
    ReplicaLetter.FAILED: State.Failed,
    ReplicaLetter.CANCELED: State.Canceled,
}


def state_of(replica: ReplicaRecord) -> State:
    """Return the state of a replica as users know it."""
    return _STATES[replica.letter]


def whole_at(unit: DataUnitRecord) -> list[str]:
    """Return the Pilot-Data that have a data unit whole."""
    return [name for name, replica in unit.replicas.items() if replica.letter == ReplicaLetter.DONE]


def nearest_whole(catalogue: Catalogue, unit: DataUnitRecord, wanted: str = "") -> PilotDataRecord:
    """Return where to take the files of a data unit from: on this machine, if there is such a place.

    Args:
        catalogue: Knows the places.
        unit: Of which files are wanted.
        wanted: The Pilot-Data to take them from; empty for the nearest one.

    Raises:
        StateError: No Pilot-Data has it whole, or the wanted one has not.
    """
    stores = [
        store
        for store in map(catalogue.pilot_data, whole_at(unit))
        if store is not None and wanted in {"", store.id}
    ]
    if not stores:
        where = f" at {wanted}" if wanted else ""
        raise StateError(
            f"data unit {unit.id} is {unit.state}, and not whole{where}: nothing can be exported"
        )
    return min(stores, key=lambda store: place_of(store, "").scheme != "file")


def await_replica(catalogue: Catalogue, data_unit: str, pilot_data: str) -> None:
    """Wait until a replica that was asked for is whole.

    Raises:
        TransferError: It is not, and is not on its way any more.
        StateError: The catalogue has no such data unit.
    """
    catalogue.wait_for(lambda: not is_on_its_way(unit_in(catalogue, data_unit), pilot_data), None)
    unit = unit_in(catalogue, data_unit)
    replica = unit.replicas.get(pilot_data)
    if replica is None or replica.letter != ReplicaLetter.DONE:
        reason = (replica.reason if replica is not None else unit.reason) or "it was canceled"
        raise TransferError(f"data unit {data_unit} is not at {pilot_data}: {reason}")


def is_on_its_way(unit: DataUnitRecord, pilot_data: str) -> bool:
    """Return whether a replica is asked for or being made, of a data unit that has not ended."""
    replica = unit.replicas.get(pilot_data)
    return replica is not None and replica.is_in_work and not is_final(unit.state)


def place_of(record: PilotDataRecord, data_unit: str) -> Location:
    """Return where a Pilot-Data has, or would have, the files of a data unit."""
    return parse(record.description["service_url"], "service_url").joined(data_unit)


def access_of(record: PilotDataRecord) -> Access:
    """Return how a Pilot-Data is entered."""
    keys = ("userkey", "profile", "endpoint_url", "region", "ssh_client")
    return Access(**{key: record.description.get(key, "") for key in keys})


def open_replica(record: PilotDataRecord, data_unit: str) -> Storage:
    """Return the storage of a replica, with bundles where many small files are better stored so."""
    return open_with_bundles(place_of(record, data_unit), access_of(record))


def open_with_bundles(location: Location, access: Access | None = None) -> Storage:
    """Return a storage; one where many small files are better stored together shows what is in bundles, and makes them."""
    storage = open_storage(location, access)
    return BundledStorage(storage) if storage.capabilities.bundles else storage
