"""The methods of a ComputeDataService that are about data: it uses Pilot-Data as it uses pilots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from pilot_protocol.errors import DescriptionError
from pilot_session.coordination_url import is_id

from .pilot_data_door import DataOfService, data_of_service
from .session import Session


class DataSide(ABC):
    """What a compute-data service does with data.

    Attributes:
        id: The service's id.
    """

    def __init__(self) -> None:
        self._opened: DataOfService | None = None

    @property
    @abstractmethod
    def id(self) -> str:
        """The service's id."""

    @abstractmethod
    def _session_of(self, service: str, url: str) -> Session:
        """Return the session of this service, after it has joined the first one that it is asked to use.

        Raises:
            DescriptionError: The other service lives in another session.
        """

    @property
    @abstractmethod
    def _session(self) -> Session:
        """The session of this service."""

    @abstractmethod
    def _check_open(self, what: str) -> None:
        """Raise StateError if the service was canceled and takes no more of something."""

    def add_pilot_data_service(self, pilot_data_service: Any) -> None:
        """Let compute units get their data from, and data units be placed at, the Pilot-Data of a service.

        From now on this process also makes what anybody asks for there.

        Args:
            pilot_data_service: A PilotDataService.

        Raises:
            CoordinationError: The server cannot be reached.
            DescriptionError: It is none, or it lives in another session, or in this process only.
        """
        service, url = _checked(pilot_data_service)
        session = self._session_of(service, url)
        session.store.attach(service, self.id, attached=True)
        self._data(session).serve(service)

    def remove_pilot_data_service(self, pilot_data_service: Any) -> None:
        """Place nothing more at the Pilot-Data of a service; what is there stays and is used.

        Raises:
            CoordinationError: The server cannot be reached.
            DescriptionError: It is no PilotDataService.
        """
        service, _ = _checked(pilot_data_service)
        self._session.store.attach(service, self.id, attached=False)

    def submit_data_unit(self, data_unit_description: Mapping[str, object]) -> Any:
        """Make a data unit; its files move in the background to the Pilot-Data of the services that were added.

        They go to Pilot-Data near the affinity labels of the description first, then to those with most room. One without
        files and labels is kept where the first compute unit runs that adds files to it.

        Args:
            data_unit_description: A dict or a DataUnitDescription.

        Returns:
            The DataUnit.

        Raises:
            CoordinationError: The server cannot be reached, or is full.
            DescriptionError: A key or a value is not allowed, or there are not enough Pilot-Data for all replicas.
            StateError: The service was canceled.
            TransferError: A file is not there or cannot be read.
        """
        self._check_open("data units")
        session = self._session
        return self._data(session).submit(data_unit_description, self._data_services(session))

    def list_pilot_data(self) -> list[Any]:
        """Return the Pilot-Data of the services that were added, ended ones too."""
        session = self._session
        services = self._data_services(session)
        return self._data(session).pilot_data(services) if services else []

    def list_data_units(self) -> list[Any]:
        """Return the data units that were submitted to this service, by whichever process."""
        return self._data(self._session).data_units()

    def get_data_unit(self, du_id: str) -> Any:
        """Return a data unit of the service's session, by its id or URL.

        Raises:
            DescriptionError: It is neither.
            StateError: There is no such data unit.
        """
        return self._data(self._session).data_unit(du_id)

    def _serve_again(self, session: Session) -> None:
        """Make what anybody asks for at the Pilot-Data of the services that were added, in this process as well."""
        for service in self._data_services(session):
            self._data(session).serve(service)

    def _wait_for_data(self, timeout_s: float | None) -> bool:
        """Wait until no data unit of this service is Pending; there are none as long as nobody has asked for data."""
        return self._opened is None or self._opened.wait(timeout_s)

    def _data_services(self, session: Session) -> list[str]:
        return sorted(name for name in session.tracker.attachments.get(self.id, ()) if is_id("pds", name))

    def _data(self, session: Session) -> DataOfService:
        if self._opened is None:
            self._opened = data_of_service(session.id, self.id)
        return self._opened


def _checked(service: Any) -> tuple[str, str]:
    """Return id and URL of a PilotDataService."""
    name, url = getattr(service, "id", None), getattr(service, "url", None)
    if not isinstance(name, str) or not isinstance(url, str) or not is_id("pds", name):
        raise DescriptionError(
            f"pilot_data_service is {service!r}; a PilotDataService is allowed",
            key="pilot_data_service",
            value=service,
        )
    if url.startswith("local:"):
        raise DescriptionError(
            f"{name} has a catalogue that only this process knows, so no pilot can find its data; make the PilotDataService "
            "with the coordination URL of the PilotComputeService, or after it",
            key="pilot_data_service",
        )
    return name, url
