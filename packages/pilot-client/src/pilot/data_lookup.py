"""What the session's records say of the data units that compute units name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pilot_protocol import data_ops, reads
from pilot_protocol.errors import DescriptionError
from pilot_protocol.operation import BATCH
from pilot_protocol.placements import Placement
from pilot_protocol.states import State, is_final

from .data_waits import AwaitedData
from .session import Session


def check_data_units(session: Session, inputs: Collection[str], outputs: Collection[str]) -> None:
    """Refuse data units that a session does not have, and output for those that have ended.

    Those that were looked up before are known, until an end is told of them.

    Raises:
        DescriptionError: One is not known, or takes no files any more.
        CoordinationError: The server cannot be reached.
    """
    unsure = sorted({*inputs, *outputs} - session.tracker.data_units)
    for start in range(0, len(unsure), BATCH):
        part = unsure[start : start + BATCH]
        states = session.query(data_ops.data_unit_states(session.keys, part))
        found = {name: state for name, (state, _) in zip(part, states, strict=True) if state}
        if len(found) < len(part):
            raise unknown_data_units(set(part) - set(found))
        ended = {name: state for name, state in found.items() if is_final(State(state))}
        for name in ended.keys() & set(outputs):
            raise _ended_data_unit(name, ended[name])
        session.tracker.data_units.update(found.keys() - ended.keys())


def unknown_data_units(names: Collection[str]) -> DescriptionError:
    """Return the error for data units that a session does not have."""
    shown = ", ".join(sorted(names)[:5])
    return DescriptionError(
        f"input_data or output_data names {shown}, which this session does not have; give data units that were submitted in "
        "the same session, or their URLs",
        key="input_data",
        value=shown,
    )


def _ended_data_unit(name: str, state: str) -> DescriptionError:
    return DescriptionError(
        f"output_data names {name}, which is {state} and takes no files any more; make another data unit",
        key="output_data",
        value=name,
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
