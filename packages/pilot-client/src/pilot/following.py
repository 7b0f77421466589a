"""Learning of units and pilots that another process made, so that their states are followed from then on.

The invariant: a unit is followed before its record is read, so that no event falls between the two.
"""

from __future__ import annotations

from collections.abc import Iterable

from pilot_protocol import codec, reads, signing
from pilot_protocol.errors import StateError
from pilot_protocol.operation import BATCH
from pilot_protocol.specs import PilotSpec
from pilot_protocol.states import State

from .session import Session
from .tracker import TrackedPilot, UnitGroup


def follow_unit(session: Session, unit: str) -> tuple[UnitGroup, int]:
    """Follow one unit; returns its group and its number.

    Raises:
        StateError: The session has no such unit.
    """
    group, number = session.tracker.group_of(unit)
    if group is None:
        name = unit.split("-")[1]
        owner = session.query(reads.groups(session.keys)).get(name, "")
        group = session.tracker.new_group(name, owner)
        follow_pilots(session)
    if not group.is_followed(number):
        _follow(session, group, [number])
    if not group.is_followed(number):
        raise StateError(
            f"session {session.id} has no compute unit {unit}; it was purged, or never submitted"
        )
    return group, number


def follow_units(session: Session, owner: str) -> list[UnitGroup]:
    """Follow all units of an owner of queues, whoever submitted them; returns their groups."""
    counts = session.query(reads.counts(session.keys))
    for name, its_owner in session.query(reads.groups(session.keys)).items():
        if its_owner != owner:
            continue
        group = session.tracker.new_group(name, owner)
        total = sum(counts.get(name, {}).values())
        missing = [number for number in range(total) if not group.is_followed(number)]
        for start in range(0, len(missing), BATCH):
            _follow(session, group, missing[start : start + BATCH])
    return session.tracker.groups_of(owner)


def _follow(session: Session, group: UnitGroup, numbers: list[int]) -> None:
    with session.tracker.changed:
        for number in numbers:
            group.show(number)
    records = session.query(reads.units(session.keys, [group.unit_id(number) for number in numbers]))
    found = {number: record for number, record in zip(numbers, records, strict=True) if record is not None}
    with session.tracker.changed:
        for number in set(numbers) - found.keys():
            group.hide(number)
    session.tracker.settle(group, ((number, record.letter) for number, record in found.items()))


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
    record = session.query(reads.pilot(session.keys, pilot))
    spec = pilot_spec(session, pilot, record.get("description"))
    asked = spec.cores if spec else None
    cores = int(record["cores"]) if "cores" in record else asked
    state = State(record.get("state", b"Unknown").decode())
    session.tracker.set_pilot(TrackedPilot(pilot, service, cores, state))


def pilot_spec(session: Session, pilot: str, sealed: bytes | None) -> PilotSpec | None:
    """Return a pilot's description from its record; None when it has none.

    Raises:
        ForgedRecordError: It was not written by a client of this session.
    """
    if sealed is None:
        return None
    return PilotSpec.from_payload(codec.decode_object(session.seal.open(signing.PILOT, pilot, sealed)))
