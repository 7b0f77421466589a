"""Run many compute units on the resources that pilots hold.

Names are imported when they are first used, so that ``import pilot`` is quick; nothing here connects or starts anything.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pilot_protocol.compute_descriptions import ComputeUnitDescription, PilotComputeDescription
    from pilot_protocol.data_descriptions import DataUnitDescription, PilotDataDescription
    from pilot_protocol.errors import (
        ComputeUnitFailed,
        CoordinationError,
        DescriptionError,
        PilotError,
        StateError,
        SubmissionError,
        TransferError,
        UnsatisfiableRequestError,
    )
    from pilot_protocol.states import State

    from .compute_data_service import (
        ComputeDataService,
    )
    from .compute_data_service import (
        ComputeDataService as ComputeDataServiceCentral,
    )
    from .compute_data_service import (
        ComputeDataService as ComputeDataServiceDecentral,
    )
    from .compute_unit import ComputeUnit
    from .legacy_names import ComputeUnitService, DataUnitService
    from .pilot_compute import PilotCompute
    from .pilot_compute_service import PilotComputeService
    from .session import Session

__version__ = "0.1.0"

version = __version__
application_id = "bigjob"
"""What BigJob called itself; scripts of its time may ask."""

__all__ = [
    "ComputeDataService",
    "ComputeDataServiceCentral",
    "ComputeDataServiceDecentral",
    "ComputeUnit",
    "ComputeUnitDescription",
    "ComputeUnitFailed",
    "ComputeUnitService",
    "CoordinationError",
    "DataUnitDescription",
    "DataUnitService",
    "DescriptionError",
    "PilotCompute",
    "PilotComputeDescription",
    "PilotComputeService",
    "PilotDataDescription",
    "PilotError",
    "Session",
    "State",
    "StateError",
    "SubmissionError",
    "TransferError",
    "UnsatisfiableRequestError",
    "application_id",
    "version",
]
if find_spec("pilot_data") is not None:  # BigJob's scripts have these, too, from `from pilot import *`
    __all__ += ["DataUnit", "PilotData", "PilotDataService"]

_HOMES = {
    "ComputeDataService": "pilot.compute_data_service",
    "ComputeDataServiceCentral": "pilot.compute_data_service",
    "ComputeDataServiceDecentral": "pilot.compute_data_service",
    "ComputeUnit": "pilot.compute_unit",
    "ComputeUnitDescription": "pilot_protocol.compute_descriptions",
    "ComputeUnitFailed": "pilot_protocol.errors",
    "ComputeUnitService": "pilot.legacy_names",
    "CoordinationError": "pilot_protocol.errors",
    "DataUnitDescription": "pilot_protocol.data_descriptions",
    "DataUnitService": "pilot.legacy_names",
    "DescriptionError": "pilot_protocol.errors",
    "PilotCompute": "pilot.pilot_compute",
    "PilotComputeDescription": "pilot_protocol.compute_descriptions",
    "PilotComputeService": "pilot.pilot_compute_service",
    "PilotDataDescription": "pilot_protocol.data_descriptions",
    "PilotError": "pilot_protocol.errors",
    "Session": "pilot.session",
    "State": "pilot_protocol.states",
    "StateError": "pilot_protocol.errors",
    "SubmissionError": "pilot_protocol.errors",
    "TransferError": "pilot_protocol.errors",
    "UnsatisfiableRequestError": "pilot_protocol.errors",
}
_ALIASES = {
    "ComputeDataServiceCentral": "ComputeDataService",
    "ComputeDataServiceDecentral": "ComputeDataService",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    value = getattr(importlib.import_module(home), _ALIASES.get(name, name)) if home else _of_pilot_data(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _of_pilot_data(name: str) -> Any:
    from .pilot_data_door import NAMES, load

    if name in NAMES:
        return load(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
