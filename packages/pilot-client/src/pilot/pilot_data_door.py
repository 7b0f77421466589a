"""Where `pilot` and `pilot_data` meet: names that are given on, and what a compute-data service does with data.

The one place of the client that knows of `pilot_data`, by name only: nothing of it is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from pilot_protocol.errors import MissingExtraError

NAMES = ("DataUnit", "PilotData", "PilotDataService")
"""What `pilot` gives on."""


class DataOfService(Protocol):
    """What `pilot_data.data_of_service` does for one compute-data service. Services are named by their ids."""

    def serve(self, service: str) -> None:
        """Make what anybody asks for at the Pilot-Data of a service."""

    def submit(self, description: Mapping[str, object], services: Collection[str]) -> Any:
        """Make a data unit at the Pilot-Data of some services."""

    def pilot_data(self, services: Collection[str]) -> list[Any]:
        """Return the Pilot-Data of some services."""

    def data_units(self) -> list[Any]:
        """Return the data units that were submitted to the compute-data service."""

    def data_unit(self, name: str) -> Any:
        """Return a data unit of the session by its id or URL."""

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until none of its data units is Pending."""


def load(name: str) -> Any:
    """Return one of `NAMES`.

    Raises:
        MissingExtraError: pilot-data is not installed.
    """
    return getattr(_module("pilot_data", name), name)


def data_of_service(session: str, owner: str) -> DataOfService:
    """Return what a compute-data service of a session does with data.

    Raises:
        MissingExtraError: pilot-data is not installed.
        CoordinationError: The server cannot be reached.
    """
    found: DataOfService = _module("pilot_data.data_of_service", "Pilot-Data").DataOfService(session, owner)
    return found


def copy_to_sandbox(transfers: Sequence[str], sandbox: str) -> None:
    """Copy files into the folder of a pilot, see `pilot_data.sandbox_files`.

    Raises:
        MissingExtraError: pilot-data is not installed.
        DescriptionError: A target is not below the folder.
        TransferError: A file is not there, or could not be copied.
    """
    _module("pilot_data.sandbox_files", "file_transfer").copy_to_sandbox(transfers, sandbox)


def _module(name: str, wanted: str) -> Any:
    if find_spec("pilot_data") is None:
        raise MissingExtraError("data", wanted)
    return importlib.import_module(name)
