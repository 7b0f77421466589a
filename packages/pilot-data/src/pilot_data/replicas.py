"""Where the replicas of data units are, and how they are entered."""

from __future__ import annotations

from .bundled_storage import BundledStorage
from .catalogue import PilotDataRecord
from .locations import Location, parse
from .registry import open_storage
from .storage import Access, Storage


def place_of(record: PilotDataRecord, data_unit: str) -> Location:
    """Return where a Pilot-Data has, or would have, the files of a data unit."""
    return parse(record.description["service_url"], "service_url").joined(data_unit)


def access_of(record: PilotDataRecord) -> Access:
    """Return how a Pilot-Data is entered."""
    keys = ("userkey", "profile", "endpoint_url", "region")
    return Access(**{key: record.description.get(key, "") for key in keys})


def open_replica(record: PilotDataRecord, data_unit: str) -> Storage:
    """Return the storage of a replica, with bundles where many small files are better stored so."""
    return open_with_bundles(place_of(record, data_unit), access_of(record))


def open_with_bundles(location: Location, access: Access | None = None) -> Storage:
    """Return a storage; one where many small files are better stored together shows what is in bundles, and makes them."""
    storage = open_storage(location, access)
    return BundledStorage(storage) if storage.capabilities.bundles else storage
