"""The data units of one compute-data service, and the Pilot-Data that it may use. What `pilot` knows of this package."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping

from pilot_protocol.data_descriptions import validate_data_unit
from pilot_protocol.errors import StateError
from pilot_session.coordination_url import is_id

from . import data_session
from .catalogue import PilotDataRecord
from .data_unit import DataUnit
from .new_data_unit import make_data_unit
from .pilot_data import PilotData
from .store_choice import choose_stores, has_home_yet_to_come


class DataOfService:
    """What a compute-data service does with data.

    Args:
        session: The id of its session.
        owner: Its id.
    """

    def __init__(self, session: str, owner: str) -> None:
        self._session = data_session.join(session)
        self._owner = owner
        self._is_ours: dict[str, bool] = {}

    def serve(self, service: str) -> None:
        """Make, from now on, what anybody asks for at the Pilot-Data of a service."""
        self._session.serve(service)

    def submit(self, description: Mapping[str, object], services: Collection[str]) -> DataUnit:
        """Make a data unit at the Pilot-Data of some services; see `ComputeDataService.submit_data_unit`."""
        wanted = validate_data_unit(description)
        stores = [] if has_home_yet_to_come(wanted) else choose_stores(self._stores(services), wanted)
        return make_data_unit(self._session, wanted, stores, self._owner)

    def pilot_data(self, services: Collection[str]) -> list[PilotData]:
        """Return the Pilot-Data of some services, ended ones too."""
        return [PilotData.of(self._session, store.id) for store in self._stores(services)]

    def data_units(self) -> list[DataUnit]:
        """Return the data units that were submitted to the service, by whichever process."""
        names = self._session.catalogue.list_data_units()
        return [DataUnit.of(self._session, name) for name in names if self._owns(name)]

    def data_unit(self, name: str) -> DataUnit:
        """Return a data unit of the session by its id or URL.

        Raises:
            DescriptionError: It is neither.
            StateError: The session has no such data unit.
        """
        session, found = (self._session, name) if is_id("du", name) else data_session.find(name, "du")
        if session is not self._session or session.catalogue.data_unit(found) is None:
            raise StateError(f"session {self._session.id} has no data unit {found}")
        return DataUnit.of(session, found)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until no data unit of the service is Pending any more; return whether that is so."""
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        for unit in self.data_units():
            rest_s = None if timeout_s is None else max(0.0, deadline - time.monotonic())
            if not unit.wait(rest_s):
                return False
        return True

    def _stores(self, services: Collection[str]) -> list[PilotDataRecord]:
        catalogue = self._session.catalogue
        records = map(catalogue.pilot_data, catalogue.list_pilot_data())
        return [record for record in records if record is not None and record.service in services]

    def _owns(self, name: str) -> bool:
        if name not in self._is_ours:
            record = self._session.catalogue.data_unit(name)
            self._is_ours[name] = record is not None and record.owner == self._owner
        return self._is_ours[name]
