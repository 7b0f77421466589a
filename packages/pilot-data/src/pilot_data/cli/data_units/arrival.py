"""Waits, with a bar, until a data unit has come to where it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pilot_data.catalogue import DataUnitRecord
from pilot_data.cli.canceling import canceling
from pilot_data.cli.exit_codes import INCOMPLETE
from pilot_data.cli.output import tell
from pilot_data.cli.telling import Telling
from pilot_data.errors import CanceledError
from pilot_data.job import Job
from pilot_protocol.data_records import ReplicaLetter
from pilot_protocol.states import is_final

from .found import Found
from .telling_units import state_line, tell_unit

LOOK_S = 0.5
"""How often the bar moves, and Ctrl-C is looked for."""


def await_arrival(begin: Callable[[], tuple[Found, Sequence[str]]], *, as_json: bool, quiet: bool) -> int:
    """Have something brought, wait until no replica is on its way any more, tell how it went, and return the exit code.

    Ctrl-C and a request to terminate stop what this process moves, from the moment that it moves.

    Args:
        begin: Asks for it; returns the data unit, and the Pilot-Data that it is to come to.
        as_json: Whether it is told as JSON.
        quiet: Whether errors only are told to people.
    """
    job = Job()
    with canceling(job) as interruption, Telling(interruption, as_json=as_json, quiet=quiet) as telling:
        found, stores = begin()
        try:
            _await(found, stores, job, telling)
        except CanceledError:
            telling.close()
            found.session.stop_staging()
            tell(f"interrupted: {state_line(found)}")
            return interruption.exit_code
    tell_unit(found, as_json=as_json, quiet=quiet)
    return INCOMPLETE if _tell_failures(found.unit_record, stores) else 0


def _await(found: Found, stores: Sequence[str], job: Job, telling: Telling) -> None:
    unit = found.unit_record
    telling.planned(unit.files * len(stores), unit.bytes * len(stores))
    told = 0
    while not found.catalogue.wait_for(lambda: _is_over(found.unit_record, stores), LOOK_S):
        job.check()
        moved = _moved(found.unit_record, stores)
        telling.bytes(moved - told)
        told = moved


def _is_over(unit: DataUnitRecord, stores: Sequence[str]) -> bool:
    return is_final(unit.state) or not any(
        replica.is_in_work for store, replica in unit.replicas.items() if store in stores
    )


def _moved(unit: DataUnitRecord, stores: Sequence[str]) -> int:
    return sum(replica.bytes for store, replica in unit.replicas.items() if store in stores)


def _tell_failures(unit: DataUnitRecord, stores: Sequence[str]) -> int:
    """Tell where a data unit has not come; return at how many places."""
    count = 0
    for store in stores:
        replica = unit.replicas.get(store)
        if replica is None or replica.letter != ReplicaLetter.DONE:
            reason = replica.reason if replica is not None else unit.reason or "it was removed"
            tell(f"data unit {unit.id} is not at {store}: {reason}")
            count += 1
    return count
