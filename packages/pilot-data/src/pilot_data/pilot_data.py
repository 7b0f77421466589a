"""The handle of a Pilot-Data: a place where data units are kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from os import PathLike
from typing import Any, final

from pilot_protocol.data_descriptions import validate_data_unit
from pilot_protocol.errors import DescriptionError, StateError
from pilot_protocol.states import State, is_final
from pilot_session.argument_checks import seconds

from . import markers
from .catalogue import DataUnitRecord, PilotDataRecord, store_in, units_at
from .data_unit import DataUnit
from .handles import Handle, checked, find
from .new_data_unit import make_data_unit
from .registry import open_storage
from .removing import remove_replica
from .replicas import access_of, await_replica, place_of


@final
class PilotData(Handle):
    """A place where data units are kept.

    Args:
        pd_url: Reconnects to a Pilot-Data by its `url`.

    Raises:
        CoordinationError: The catalogue cannot be reached.
        DescriptionError: The URL cannot be read.
        StateError: The catalogue has no such Pilot-Data.
    """

    kind = "pd"

    def __init__(self, pd_url: str) -> None:
        self._take(*find("pd_url", pd_url, self.kind))
        self._record()

    @property
    def state(self) -> State:
        """Running, or how it has ended."""
        return self._record().state

    @property
    def details(self) -> dict[str, Any]:
        """What is known of it; sizes in bytes, ``size`` 0 for any, ``free`` None where that is not known."""
        record = self._record()
        free = record.size_bytes - record.used_bytes if record.size_bytes else self._free_bytes(record)
        return {
            "description": dict(record.description),
            "state": record.state,
            "reason": record.reason,
            "size": record.size_bytes,
            "used": record.used_bytes,
            "free": free,
            "data_units": [unit.id for unit in self._units()],
        }

    def submit_data_unit(
        self,
        data_unit_description: Mapping[str, object] | None = None,
        *,
        data_unit: DataUnit | None = None,
    ) -> DataUnit:
        """Make a data unit of files, or bring one that there is here; its files move in the background.

        Args:
            data_unit_description: A dict or a DataUnitDescription. Its further replicas go to other Pilot-Data of the
                same service.
            data_unit: One that there is, instead of a description.

        Raises:
            DescriptionError: A key or a value is not allowed, neither or both were given, two files would have one name,
                or the service has not enough Pilot-Data for all replicas.
            TransferError: A file is not there or cannot be read.
            StateError: The Pilot-Data or the data unit has ended.
        """
        if data_unit is None and data_unit_description is not None:
            return self._make(validate_data_unit(data_unit_description))
        if data_unit is None or data_unit_description is not None:
            raise DescriptionError("give a description, or data_unit=, and not both", key="data_unit")
        self._own(data_unit).add_pilot_data(self)
        return data_unit

    def _make(self, description: dict[str, Any]) -> DataUnit:
        stores = self._stores_for(description.get("number_of_replicas", 1))
        return make_data_unit(self._session, description, stores)

    def _stores_for(self, count: int) -> list[str]:
        """Return this Pilot-Data and as many others as replicas are asked for."""
        record = self._running()
        catalogue = self._session.catalogue
        found = [self.id]
        for name in catalogue.list_pilot_data() if count > 1 else []:
            other = catalogue.pilot_data(name)
            if other is not None and other.service == record.service and other.state is State.Running:
                found += [] if name in found else [name]
        if len(found) < count:
            raise DescriptionError(
                f"number_of_replicas is {count}; {record.service} has {len(found)} Pilot-Data that are Running; make more, "
                "or ask for fewer",
                key="number_of_replicas",
                value=count,
            )
        return found[:count]

    def list_data_units(self) -> list[DataUnit]:
        """Return the data units that are here, or on their way."""
        return [DataUnit.of(self._session, unit.id) for unit in self._units()]

    def get_du(self, du_url: str) -> DataUnit:
        """Return a data unit that is here, by its URL or id.

        Raises:
            StateError: It is not here.
        """
        for unit in self.list_data_units():
            if du_url in {unit.url, unit.id}:
                return unit
        raise StateError(f"Pilot-Data {self.id} has no data unit {du_url}")

    def export_du(self, data_unit: DataUnit, target_url: str | PathLike[str]) -> None:
        """Copy the files of a data unit from here; see `DataUnit.export`."""
        self._own(data_unit).export(target_url, pilot_data=self)

    def put_du(self, data_unit: DataUnit) -> None:
        """Bring a data unit here, and return when it is; see `submit_data_unit`.

        Raises:
            StateError: One of them has ended.
            TransferError: It could not be brought here.
        """
        self._own(data_unit).add_pilot_data(self)
        await_replica(self._session.catalogue, data_unit.id, self.id)

    def copy_du(self, data_unit: DataUnit, pilot_data: PilotData) -> None:
        """Bring a data unit to another Pilot-Data; see `DataUnit.add_pilot_data`."""
        self._own(data_unit).add_pilot_data(pilot_data)

    def remove_du(self, data_unit: DataUnit) -> None:
        """Remove the files of a data unit from here, also while they move. One that has no replica left is Canceled.

        Raises:
            TransferError: The storage cannot be reached.
        """
        remove_replica(self._session.catalogue, self._own(data_unit).id, self._record())

    def url_for_du(self, data_unit: DataUnit) -> str:
        """Return the URL of the folder that has, or would have, the files of a data unit."""
        return str(place_of(self._record(), self._own(data_unit).id))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no data unit here is Pending any more, and what this process has asked for here has come.

        Args:
            timeout: Seconds; without end by default.

        Returns:
            Whether that is so.
        """
        return self._session.await_all([self.id], seconds(timeout))

    def cancel(self) -> None:
        """End it, and remove what it holds. Data units that are nowhere else are Canceled.

        Can be called again, to remove what a storage that could not be reached still holds.

        Raises:
            TransferError: The storage cannot be reached.
        """
        catalogue = self._session.catalogue
        catalogue.end_pilot_data(self.id, State.Canceled)
        record = self._record()
        for unit in self._units():  # asked for now: nothing can come any more
            remove_replica(catalogue, unit.id, record)
        with closing(open_storage(place_of(record, ""), access_of(record))) as storage:
            markers.remove(storage, self.id)

    def _own(self, data_unit: DataUnit) -> DataUnit:
        return checked("data_unit", data_unit, DataUnit, self._session)

    def _units(self) -> list[DataUnitRecord]:
        return units_at(self._session.catalogue, self.id)

    def _free_bytes(self, record: PilotDataRecord) -> int | None:
        if is_final(record.state):
            return None
        with closing(open_storage(place_of(record, ""), access_of(record))) as storage:
            return storage.free_bytes()

    def _running(self) -> PilotDataRecord:
        record = self._record()
        if record.state is not State.Running:
            raise StateError(f"Pilot-Data {self.id} is {record.state}; nothing is put there any more")
        return record

    def _record(self) -> PilotDataRecord:
        return store_in(self._session.catalogue, self.id)
