"""What the session's records say of the data units that compute units name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pilot_protocol import data_ops, reads
from pilot_protocol.errors import DescriptionError
from pilot_protocol.operation import BATCH
from pilot_protocol.placements import Placement
from pilot_protocol.states import State

from .data_waits import AwaitedData
from .session import Session


def check_data_units(session: Session, names: Collection[str]) -> None:
    """Refuse data units that a session does not have; those that were looked up before are known.

    Raises:
        DescriptionError: One is not known.
        CoordinationError: The server cannot be reached.
    """
    unsure = sorted(set(names) - session.tracker.data_units)
    for start in range(0, len(unsure), BATCH):
        part = unsure[start : start + BATCH]
        states = session.query(data_ops.data_unit_states(session.keys, part))
        unknown = [name for name, (state, _) in zip(part, states, strict=True) if not state]
        if unknown:
            raise unknown_data_units(unknown)
        session.tracker.data_units.update(part)


def unknown_data_units(names: Collection[str]) -> DescriptionError:
    """Return the error for data units that a session does not have."""
    shown = ", ".join(sorted(names)[:5])
    return DescriptionError(
        f"input_data or output_data names {shown}, which this session does not have; give data units that were submitted in "
        "the same session, or their URLs",
        key="input_data",
        value=shown,
    )


def read_data_units(session: Session, names: Sequence[str]) -> list[AwaitedData]:
    """Return data units as compute units wait for them."""
    if not names:
        return []
    states = session.query(data_ops.data_unit_states(session.keys, names))
    producers = session.query(data_ops.producers(session.keys, names))
    replicas = [session.query(data_ops.replicas(session.keys, name)) for name in names]
    return [
        AwaitedData(name, State(state or State.Unknown), count, tuple(places))
        for name, (state, _), count, places in zip(names, states, producers, replicas, strict=True)
    ]


def read_inputs(session: Session, units: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the data units that units read which have not ended, by unit; those that read none are left out."""
    found = session.query(reads.inputs(session.keys, units))
    return {unit: names for unit, names in zip(units, found, strict=True) if names}


def read_awaited(session: Session, units: Sequence[str]) -> dict[str, list[AwaitedData]]:
    """Return the data units that units read which have not ended, by unit."""
    inputs = read_inputs(session, units)
    every = read_data_units(session, sorted({name for names in inputs.values() for name in names}))
    by_name = {unit.id: unit for unit in every}
    return {unit: [by_name[name] for name in names] for unit, names in inputs.items()}


def read_placement(session: Session, unit: str) -> Placement | None:
    """Return where it was decided that a unit goes; None when it has no data, or nothing was decided."""
    return session.query(reads.placements(session.keys, [unit]))[0]
