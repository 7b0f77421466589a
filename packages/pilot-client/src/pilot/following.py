"""Learning of units and pilots that another process made, so that their states are followed from then on.

The invariant: a unit is followed before its record is read, so that no event falls between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pilot_protocol import reads
from pilot_protocol.errors import StateError
from pilot_protocol.operation import BATCH
from pilot_protocol.specs import PilotSpec
from pilot_protocol.states import State, UnitLetter
from pilot_session.coordination_url import is_id

from .pilot_details import open_pilot_description, read_pilot_record
from .session import Session
from .tracked_pilot import Shape, TrackedPilot
from .tracker import UnitGroup


def follow_unit(session: Session, unit: str) -> tuple[UnitGroup, int]:
    """Follow one unit; returns its group and its number.

    Raises:
        StateError: The session has no such unit.
    """
    if not is_id("unit", unit):
        raise StateError(f"session {session.id} has no compute unit {unit!r}; an id is like cu-k3x7q2-17")
    group, number = session.tracker.group_of(unit)
    if group is None or not group.is_followed(number):
        group = _follow_one(session, unit, number)
    return group, number


def _follow_one(session: Session, unit: str, number: int) -> UnitGroup:
    """Follow a unit of which this process has not heard; of one that is not there, nothing is kept."""
    name = unit.split("-")[1]
    owner = session.query(reads.groups(session.keys)).get(name)
    if owner is None or session.query(reads.units(session.keys, [unit])) == [None]:
        raise StateError(
            f"session {session.id} has no compute unit {unit}; it was purged, or never submitted"
        )
    if session.tracker.groups.get(f"cu-{name}") is None:
        follow_pilots(session)
    group = session.tracker.new_group(name, owner)
    _follow(session, group, [number])
    return group


def follow_units(session: Session, owner: str) -> list[UnitGroup]:
    """Follow all units of an owner of queues, whoever submitted them; returns their groups. Two reads if all are known."""
    counts = session.query(reads.counts(session.keys))
    for name, its_owner in session.query(reads.groups(session.keys)).items():
        if its_owner != owner:
            continue
        group = session.tracker.new_group(name, owner)
        total = sum(counts.get(name, {}).values())
        if group.count_followed() >= total:
            continue
        missing = [number for number in range(total) if not group.is_followed(number)]
        for start in range(0, len(missing), BATCH):
            _follow(session, group, missing[start : start + BATCH])
    return session.tracker.groups_of(owner)


def _follow(session: Session, group: UnitGroup, numbers: list[int]) -> None:
    with session.tracker.changed:
        for number in numbers:
            group.show(number)
    missing = set(numbers) - _read(session, group, numbers)
    with session.tracker.changed:
        for number in missing:
            group.hide(number)


def _read(session: Session, group: UnitGroup, numbers: list[int]) -> set[int]:
    """Take what the records of units say; returns the units that have one."""
    records = session.query(reads.units(session.keys, [group.unit_id(number) for number in numbers]))
    found = {number: record.letter for number, record in zip(numbers, records, strict=True) if record}
    group.shapes.update(Shape.of(queue) for queue in {record.queue for record in records if record})
    group.reads_data = group.reads_data or UnitLetter.WAITING in found.values()
    session.tracker.settle(group, found.items())
    return set(found)


def follow_pilots(session: Session, only: Iterable[str] = ()) -> None:
    """Follow the pilots of a session, or only some of them, and what their services are attached to."""
    wanted = set(only)
    for pilot, service in session.query(reads.pilots(session.keys)).items():
        known = session.tracker.pilots.get(pilot)
        if (not wanted or pilot in wanted) and (known is None or known.is_live):
            _follow_pilot(session, pilot, service)
    for service, owners in session.query(reads.attachments(session.keys)).items():
        for owner in owners:
            session.tracker.set_attached(service, owner, attached=True)


def _follow_pilot(session: Session, pilot: str, service: str) -> None:
    session.tracker.set_pilot(TrackedPilot(pilot, service))
    record = read_pilot_record(session, pilot)
    description = open_pilot_description(session, pilot, record)
    if description:
        session.tracker.set_pilot(TrackedPilot.asked_for(pilot, service, PilotSpec.from_payload(description)))
    session.tracker.set_pilot(_as_recorded(pilot, service, record))


def _as_recorded(pilot: str, service: str, record: Mapping[str, bytes]) -> TrackedPilot:
    """Return a pilot with its state, and with what its agent has said that it holds."""
    state = State(record.get("state", b"Unknown").decode())
    cores = _size(record, "cores")
    return TrackedPilot(
        pilot,
        service,
        cores,
        state,
        node_cores=_size(record, "node_cores"),
        gpus=_size(record, "gpus"),
        memory_mb=_size(record, "memory_mb"),
        is_measured=cores is not None,
    )


def _size(record: Mapping[str, bytes], name: str) -> int | None:
    value = record.get(name, b"")
    return int(value) if value.isdigit() else None
