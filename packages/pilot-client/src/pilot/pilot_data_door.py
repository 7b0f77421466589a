"""The names of Pilot-Data, which this version does not have: asking for one says so."""

from __future__ import annotations

from pilot_protocol.errors import PilotError

NAMES = frozenset(
    {"PilotDataService", "PilotData", "DataUnit", "PilotDataDescription", "DataUnitDescription"}
)
"""Classes that `pilot` will export."""

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


def refuse_pilot_data(name: str) -> PilotError:
    """Return the error for a name of Pilot-Data."""
    return PilotError(f"{name}: Pilot-Data is not part of this version; copy files by other means")
