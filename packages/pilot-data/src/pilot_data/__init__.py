"""Keep groups of files where they are needed: copied fast, verified, at as many places as you ask for.

Names are imported when they are first used, so that ``import pilot_data`` is quick; nothing here connects to anything.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pilot_protocol.data_descriptions import DataUnitDescription, PilotDataDescription
    from pilot_protocol.errors import (
        CoordinationError,
        DescriptionError,
        PilotError,
        StateError,
        TransferError,
    )
    from pilot_protocol.states import State

    from .data_unit import DataUnit
    from .pilot_data import PilotData
    from .pilot_data_service import PilotDataService

__version__ = "0.1.0"

_HOMES = {
    "CoordinationError": "pilot_protocol.errors",
    "DataUnit": "pilot_data.data_unit",
    "DataUnitDescription": "pilot_protocol.data_descriptions",
    "DescriptionError": "pilot_protocol.errors",
    "PilotData": "pilot_data.pilot_data",
    "PilotDataDescription": "pilot_protocol.data_descriptions",
    "PilotDataService": "pilot_data.pilot_data_service",
    "PilotError": "pilot_protocol.errors",
    "State": "pilot_protocol.states",
    "StateError": "pilot_protocol.errors",
    "TransferError": "pilot_protocol.errors",
}

__all__ = [
    "CoordinationError",
    "DataUnit",
    "DataUnitDescription",
    "DescriptionError",
    "PilotData",
    "PilotDataDescription",
    "PilotDataService",
    "PilotError",
    "State",
    "StateError",
    "TransferError",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
