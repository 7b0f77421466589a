"""Tells how a data unit, or those of a Pilot-Data, come along."""

from __future__ import annotations

from typing import Any

import click

from pilot_data.catalogue import DataUnitRecord, units_at
from pilot_data.cli.canceling import canceling
from pilot_data.cli.catalogue_names import allow_only
from pilot_data.cli.exit_codes import INCOMPLETE
from pilot_data.cli.output import show_event, tell
from pilot_data.errors import CanceledError
from pilot_data.job import Job
from pilot_data.replicas import state_of
from pilot_protocol.states import State

from .arrival import LOOK_S
from .found import Found, find
from .telling_units import state_line

_MOVING = {State.New, State.Pending, State.Staging}
_LOST = {State.Failed, State.Canceled}

States = dict[tuple[str, str], tuple[State, str]]
"""State and reason, of data units and Pilot-Data by (id, ""), of replicas by (data unit, Pilot-Data)."""


def watch(name: str, options: dict[str, Any]) -> int:
    """Tell each change of state until nothing moves; return the exit code.

    Args:
        name: Of a data unit or Pilot-Data.
        options: Of the command.
    """
    allow_only((), "a data unit or Pilot-Data")
    found = find(name, options["session"])
    job = Job()
    with canceling(job) as interruption:
        try:
            states = _watch(found, job, options)
        except CanceledError:
            tell(f"interrupted: {state_line(found)}")
            return interruption.exit_code
    is_lost = any(state in _LOST for (_, place), (state, _reason) in states.items() if not place)
    return INCOMPLETE if is_lost else 0


def _watch(found: Found, job: Job, options: dict[str, Any]) -> States:
    told: States = {}
    while True:
        states = states_of(found)
        for key, value in states.items():
            if told.get(key) != value:
                _tell(key, value, as_json=options["as_json"], quiet=options["quiet"])
        told = states
        if not any(state in _MOVING for state, _reason in states.values()):
            return states
        _await_change(found, states, job)


def _await_change(found: Found, states: States, job: Job) -> None:
    while not found.catalogue.wait_for(lambda: states_of(found) != states, LOOK_S):
        job.check()


def states_of(found: Found) -> States:
    """Return the states of all that belongs to an object."""
    if found.kind == "du":
        return _of_unit(found.unit_record, "")
    store = found.store_record
    states: States = {(store.id, ""): (store.state, store.reason)}
    for unit in units_at(found.catalogue, store.id):
        states |= _of_unit(unit, store.id)
    return states


def _of_unit(unit: DataUnitRecord, store: str) -> States:
    """Return the states of a data unit, and of its replicas, or of the one at a Pilot-Data."""
    replicas = {
        (unit.id, name): (state_of(replica), replica.reason)
        for name, replica in unit.replicas.items()
        if store in {"", name}
    }
    return {(unit.id, ""): (unit.state, unit.reason), **replicas}


def _tell(key: tuple[str, str], value: tuple[State, str], *, as_json: bool, quiet: bool) -> None:
    (name, place), (state, reason) = key, value
    if as_json:
        show_event("state", id=name, pilot_data=place, state=state, reason=reason)
    elif not quiet:
        where, why = f" at {place}" if place else "", f": {reason}" if reason else ""
        click.echo(f"{name}{where} {state}{why}")
