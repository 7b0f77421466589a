"""The service that makes Pilot-Data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from types import TracebackType
from typing import Any, final

from pilot_protocol.data_descriptions import validate_pilot_data
from pilot_protocol.errors import StateError
from pilot_session.argument_checks import seconds
from pilot_session.identifiers import new_id

from . import data_session, markers
from .catalogue import PilotDataRecord
from .data_session import DataSession
from .errors import TransferError
from .handles import find
from .pilot_data import PilotData
from .registry import open_storage
from .replicas import access_of, place_of


@final
class PilotDataService:
    """Makes Pilot-Data: places where data units are kept. As a context manager it cancels them in the end.

    Args:
        coordination_url: The Redis server of the catalogue, ``redis://``, ``rediss://`` or ``unix://``; by default
            ``$PILOT_COORDINATION_URL``, else that of the session which services of this process share already, else a
            catalogue in the memory of this process.
        session: A session of `pilot`, or its id; by default the one that all services of this process with this URL share.
        pds_url: Reconnects to a service by its `url`. Replicas at its Pilot-Data that are asked for, or whose making has been
            broken off, are then made in the background.

    Raises:
        CoordinationError: The server cannot be reached or refuses.
        DescriptionError: A URL cannot be read.
        StateError: There is no such service.
    """

    def __init__(
        self, coordination_url: str | None = None, *, session: Any = None, pds_url: str | None = None
    ) -> None:
        if pds_url is None:
            self._session = data_session.choose(coordination_url, session)
            self.id = new_id("pds")
            self._session.services.add(self.id)
        else:
            self._session, self.id = find("pds_url", pds_url, "pds")
            self._session.serve(self.id)

    @property
    def url(self) -> str:
        """Where to find the service again; holds no password."""
        return self._session.url_of(self.id)

    def create_pilot(self, pilot_data_description: Mapping[str, object]) -> PilotData:
        """Make a Pilot-Data and return when its storage has answered.

        Args:
            pilot_data_description: A dict or a PilotDataDescription.

        Raises:
            DescriptionError: A key or a value is not allowed.
            TransferError: The storage cannot be used; the error says why.
            CoordinationError: The server cannot be reached.
        """
        return make_pilot_data(self._session, self.id, pilot_data_description)

    def get_pilot(self, pilot_id: str) -> PilotData:
        """Return a Pilot-Data of this service.

        Raises:
            StateError: It has none of this id.
        """
        if pilot_id not in self._ids():
            raise StateError(
                f"{self.id} has no Pilot-Data {pilot_id}; it has {', '.join(self._ids()) or 'none'}"
            )
        return PilotData.of(self._session, pilot_id)

    def list_pilots(self) -> list[PilotData]:
        """Return the Pilot-Data of this service, ended ones too."""
        return [PilotData.of(self._session, pilot) for pilot in self._ids()]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no data unit of this service is Pending any more, and what this process has asked for has come.

        Args:
            timeout: Seconds; without end by default.

        Returns:
            Whether that is so.
        """
        return self._session.await_all(self._ids(), seconds(timeout))

    def cancel(self) -> None:
        """End all Pilot-Data of this service, and remove what they hold. Can be called again.

        Raises:
            CoordinationError: The server cannot be reached.
            TransferError: A storage cannot be reached; those that can be are emptied.
        """
        failed = []
        for pilot in self.list_pilots():
            try:
                pilot.cancel()
            except TransferError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def get_id(self) -> str:
        """Return ``id``."""
        return self.id

    def get_url(self) -> str:
        """Return `url`."""
        return self.url

    def _ids(self) -> list[str]:
        catalogue = self._session.catalogue
        records = [catalogue.pilot_data(name) for name in catalogue.list_pilot_data()]
        return [record.id for record in records if record is not None and record.service == self.id]

    def __enter__(self) -> PilotDataService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<PilotDataService {self.id}>"


def make_pilot_data(
    session: DataSession, service: str, pilot_data_description: Mapping[str, object]
) -> PilotData:
    """Make a Pilot-Data of a service; see `PilotDataService.create_pilot`.

    Args:
        session: Whose catalogue has it.
        service: Id of the service.
        pilot_data_description: A dict or a PilotDataDescription.
    """
    record = PilotDataRecord(new_id("pd"), service, validate_pilot_data(pilot_data_description))
    with closing(open_storage(place_of(record, ""), access_of(record))) as storage:
        storage.free_bytes()
        markers.put(storage, record.id)
    session.catalogue.add_pilot_data(record)
    return PilotData.of(session, record.id)
