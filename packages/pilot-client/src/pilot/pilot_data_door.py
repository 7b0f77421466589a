"""The names of Pilot-Data, which the package `pilot_data` has: `pilot` gives them on when it is installed.

The one place of the client that knows of `pilot_data`, by name only: nothing of it is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from pilot_protocol.errors import MissingExtraError, PilotError

NAMES = ("DataUnit", "PilotData", "PilotDataService")
"""What `pilot` gives on."""

METHODS = frozenset(
    {
        "add_pilot_data_service",
        "remove_pilot_data_service",
        "submit_data_unit",
        "list_pilot_data",
        "list_data_units",
        "get_data_unit",
    }
)
"""Methods that a ComputeDataService will have."""


def is_installed() -> bool:
    """Return whether pilot-data is there."""
    return find_spec("pilot_data") is not None


def load(name: str) -> Any:
    """Return one of `NAMES`.

    Raises:
        MissingExtraError: pilot-data is not installed.
    """
    if not is_installed():
        raise MissingExtraError("data", name)
    return getattr(importlib.import_module("pilot_data"), name)


def refuse_method(name: str) -> PilotError:
    """Return the error for a method of a ComputeDataService that is about data."""
    return PilotError(
        f"{name}: a ComputeDataService does not place data units in this version; use a PilotDataService and its "
        "Pilot-Data, and export() the data unit to where the compute units run"
    )
