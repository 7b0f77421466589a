"""Operations on compute units. Pure: they build arguments and read replies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .keys import Keys
from .operation import Argument, Operation, text_of

APPLIED, DUPLICATE, STALE, UNKNOWN, ASKED = "1", "2", "0", "3", "4"
"""Digits with which scripts answer for each unit."""


@dataclass(frozen=True)
class NewUnit:
    """A unit as it is submitted."""

    id: str
    queue: str
    """From :func:`pilot_protocol.keys.queue_name`."""
    description: bytes
    """Sealed: template reference and overrides, see :mod:`pilot_protocol.templating`."""
    retries: int = 0
    max_restarts: int = 3
    predecessors: Sequence[str] = ()
    run_after_failure: bool = False
    """Whether it runs although a predecessor failed; otherwise it is canceled."""
    inputs: Sequence[str] = ()
    """Data units that it reads: it waits until they are there, and goes where they are or can be brought to."""
    outputs: Sequence[str] = ()
    """Data units that it adds files to; who reads these waits until it has ended."""


@dataclass(frozen=True)
class Submitted:
    """Reply to a submission."""

    added: int
    """Units that were new; a repeated submission adds none."""
    refused: tuple[str, ...]
    """Units that name a predecessor or a data unit which does not exist, or read what they add to."""


@dataclass(frozen=True)
class LeasedUnit:
    """One unit of a claim."""

    id: str
    attempt: int
    description: bytes


@dataclass(frozen=True)
class Claimed:
    """Reply to a claim."""

    server_ms: int
    controls: tuple[tuple[int, bytes], ...]
    """Number and sealed order of each control message that was not acknowledged yet."""
    units: tuple[LeasedUnit, ...]


@dataclass(frozen=True)
class UnitReport:
    """One unit's news. For the letters see ``lua/report_units.lua``."""

    id: str
    attempt: int
    letter: str
    result: bytes = b""


@dataclass(frozen=True)
class Reported:
    """Reply to a report."""

    server_ms: int
    current: bool
    """False: the pilot has a newer epoch; only results that nobody else has produced were taken."""
    outcomes: str
    """One of the digits above per reported unit."""


def submit(
    keys: Keys, group: str, owner: str, units: Sequence[NewUnit], templates: Mapping[str, bytes]
) -> Operation[Submitted]:
    """Add units to the queues of ``owner``; those with open predecessors or with data that is not there wait for it.

    Args:
        keys: The session.
        group: The group that all the units' ids carry.
        owner: A compute-data service, or a pilot for direct submission.
        units: At most :data:`~pilot_protocol.operation.BATCH`.
        templates: Sealed templates by digest; every one that ``units`` refer to.
    """
    arguments: list[Argument] = [group, owner, len(templates)]
    for digest, template in templates.items():
        arguments += (digest, template)
    for unit in units:
        arguments += (unit.id, _header(unit), unit.description)
    return Operation("submit_units", keys.prefix, arguments, _read_submitted)


def _header(unit: NewUnit) -> str:
    header = f"{unit.queue}|{unit.retries}|{unit.max_restarts}|"
    if unit.predecessors or unit.inputs or unit.outputs:
        header += ("r" if unit.run_after_failure else "c") + " ".join(unit.predecessors)
    if unit.inputs:
        header += "<" + " ".join(unit.inputs)
    if unit.outputs:
        header += ">" + " ".join(unit.outputs)
    return header


def _read_submitted(reply: Any) -> Submitted:
    return Submitted(int(reply[0]), tuple(text_of(name) for name in reply[1:]))


@dataclass(frozen=True)
class ClaimRequest:
    """What an agent asks for."""

    pilot: str
    epoch: str
    number: int
    """Counts up; a repeated number returns the same units."""
    most_units: int
    most_cores: int
    reserve: bool
    """Whether one unit larger than ``most_cores`` may come too, for which the agent then keeps cores free."""
    control_seen: int


def claim(keys: Keys, request: ClaimRequest) -> Operation[Claimed]:
    """Lease ready units to a pilot, the highest priority first, then in order of submission."""
    arguments: list[Argument] = [
        request.pilot, request.epoch, request.number, request.most_units, request.most_cores,
        int(request.reserve), request.control_seen,
    ]  # fmt: skip
    return Operation("claim_units", keys.prefix, arguments, _read_claimed)


def _read_claimed(reply: Any) -> Claimed:
    units = tuple(
        LeasedUnit(text_of(reply[i]), int(reply[i + 1]), reply[i + 2] or b"") for i in range(2, len(reply), 3)
    )
    return Claimed(int(reply[0]), read_controls(reply[1]), units)


def report(keys: Keys, pilot: str, epoch: str, reports: Iterable[UnitReport]) -> Operation[Reported]:
    """Tell what became of leased units."""
    arguments: list[Argument] = [pilot, epoch]
    for item in reports:
        arguments += (item.id, item.attempt, item.letter, item.result)
    return Operation("report_units", keys.prefix, arguments, _read_reported)


def _read_reported(reply: Any) -> Reported:
    return Reported(int(reply[0]), bool(reply[1]), text_of(reply[2]))


def cancel(keys: Keys, orders: Iterable[tuple[str, bytes]]) -> Operation[str]:
    """Cancel units; each comes with the sealed order for the agent that may hold it. Returns a digit per unit."""
    arguments = [argument for order in orders for argument in order]
    return Operation("cancel_units", keys.prefix, arguments, text_of)


def read_controls(reply: Any) -> tuple[tuple[int, bytes], ...]:
    """Read control messages: ``<number> <sealed order>`` each."""
    split = (entry.split(b" ", 1) for entry in reply)
    return tuple((int(number), order) for number, order in split)
