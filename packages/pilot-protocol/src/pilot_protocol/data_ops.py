"""Operations on Pilot-Data, data units and replicas, and their reads. Pure: they build arguments and read replies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .data_records import DataUnitReading, FileRecord, PilotDataPlace, ReplicaRecord
from .data_replies import (
    as_is,
    data_unit_and_pilot_data,
    data_unit_reading,
    file_records,
    number,
    number_or_none,
    quoted,
    replica_records,
    state_and_reason,
    texts,
)
from .keys import Keys
from .operation import Argument, Operation, Query, text_of


@dataclass(frozen=True)
class ReplicaClaim:
    """What is claimed."""

    data_unit: str
    pilot_data: str
    owner: str
    size: int
    """Bytes of the whole replica."""
    limit: int
    """Most bytes that the Pilot-Data may hold; 0 for any."""
    reason: str = ""
    """Why the replica has failed, if there is no room; ``{used}`` in it becomes the bytes that others use."""
    adds: bool = False
    """Whether it is Done, and gets further files; any other one is held then."""


@dataclass(frozen=True)
class ClaimAnswer:
    """Reply to a claim of a replica."""

    verdict: str
    """``granted``, ``done``, ``held``, ``full``, ``unasked``, ``unit`` or ``store``; see ``lua/claim_replica.lua``."""
    detail: str
    """Who holds it, or how many bytes others use."""


@dataclass(frozen=True)
class Delivery:
    """What a unit has left, and where its files lie."""

    pilot: str
    epoch: str
    unit: str
    attempt: int
    data_unit: str
    pilot_data: str


@dataclass(frozen=True)
class DeliveryAnswer:
    """Reply to a delivery."""

    verdict: str
    """``delivered``, ``over``, ``stale``, ``unit``, ``store``, ``elsewhere``, ``busy`` or ``full``; see ``lua/deliver_files.lua``."""
    detail: str = ""
    """The Pilot-Data that the files belong to, or how many bytes are used."""


def declare_pilot_data(
    keys: Keys, name: str, record: bytes, place: PilotDataPlace | None = None
) -> Operation[int]:
    """Make a Pilot-Data known, Running.

    Args:
        keys: The session's.
        name: Its id.
        record: Sealed.
        place: What placing needs to know of it; None: nothing, so that nothing is brought there for units.
    """
    return Operation("declare_pilot_data", keys.prefix, (name, record, *(place or ())), int)


def end_pilot_data(keys: Keys, name: str, state: str, reason: str) -> Operation[int]:
    """Set a final state."""
    return Operation("end_pilot_data", keys.prefix, (name, state, quoted(reason)), int)


def declare_data_unit(keys: Keys, name: str, record: bytes, replicas: int) -> Operation[int]:
    """Make a data unit known, Pending; ``replicas`` is how many it asks for."""
    return Operation("declare_data_unit", keys.prefix, (name, record, replicas), int)


def end_data_unit(keys: Keys, name: str, state: str, reason: str) -> Operation[int]:
    """Set a final state."""
    return Operation("end_data_unit", keys.prefix, (name, state, quoted(reason)), int)


def put_files(keys: Keys, data_unit: str, files: Iterable[tuple[FileRecord, bytes]]) -> Operation[int | None]:
    """Add files, at most :data:`~pilot_protocol.operation.BATCH`; None when the data unit is not known.

    Args:
        keys: The session's.
        data_unit: Its id.
        files: Each with its sealed record.
    """
    arguments: list[Argument] = [data_unit]
    for file, record in files:
        arguments += (path_bytes(file.path), 0 if file.link else file.size, record)
    return Operation("put_files", keys.prefix, arguments, number_or_none)


def deliver_files(
    keys: Keys, delivery: Delivery, files: Iterable[tuple[FileRecord, bytes]]
) -> Operation[DeliveryAnswer]:
    """Add files that a unit has left at a Pilot-Data, at most :data:`~pilot_protocol.operation.BATCH`.

    Args:
        keys: The session's.
        delivery: Whose they are, and where they lie. A data unit without replicas gets one there.
        files: Each with its sealed record; without any, only the replica is made and the answer tells whether files
            would be taken.
    """
    arguments: list[Argument] = [
        delivery.pilot, delivery.epoch, delivery.unit, delivery.attempt, delivery.data_unit, delivery.pilot_data,
    ]  # fmt: skip
    for file, record in files:
        arguments += (path_bytes(file.path), 0 if file.link else file.size, record)
    return Operation("deliver_files", keys.prefix, arguments, _read_delivery)


def remove_files(keys: Keys, data_unit: str, paths: Sequence[str]) -> Operation[int | None]:
    """Forget files, at most :data:`~pilot_protocol.operation.BATCH`; None when the data unit is not known."""
    return Operation("remove_files", keys.prefix, (data_unit, *map(path_bytes, paths)), number_or_none)


def ask_replica(keys: Keys, data_unit: str, pilot_data: str) -> Operation[int | None]:
    """Ask for a replica; None when the data unit is not known."""
    return Operation("ask_replica", keys.prefix, (data_unit, pilot_data), number_or_none)


def claim_replica(keys: Keys, claim: ReplicaClaim, lease_ms: int) -> Operation[ClaimAnswer]:
    """Take the lease of a replica."""
    arguments = (
        claim.data_unit, claim.pilot_data, claim.owner, claim.size, claim.limit, lease_ms, quoted(claim.reason),
        *((1,) if claim.adds else ()),
    )  # fmt: skip
    return Operation("claim_replica", keys.prefix, arguments, _read_claim)


def renew_replica(
    keys: Keys, data_unit: str, pilot_data: str, owner: str, moved: int, lease_ms: int
) -> Operation[int]:
    """Keep the lease of a replica."""
    return Operation("renew_replica", keys.prefix, (data_unit, pilot_data, owner, moved, lease_ms), int)


def settle_replica(keys: Keys, record: ReplicaRecord) -> Operation[int]:
    """Set how a replica ended."""
    arguments = (
        record.data_unit, record.pilot_data, record.owner, record.letter, record.bytes, quoted(record.reason),
    )  # fmt: skip
    return Operation("settle_replica", keys.prefix, arguments, int)


def forget_replica(keys: Keys, data_unit: str, pilot_data: str) -> Operation[int]:
    """Forget a replica whose files are gone."""
    return Operation("forget_replica", keys.prefix, (data_unit, pilot_data), int)


def pilot_data_record(keys: Keys, name: str) -> Query[bytes | None]:
    """Read the sealed record of a Pilot-Data."""
    return Query(("HGET", keys.named("pilot_data"), name), as_is)


def pilot_data_state(keys: Keys, name: str) -> Query[tuple[str, str]]:
    """Read state and reason of a Pilot-Data; empty for one that is not known or cannot be read."""
    return Query(("HGET", keys.named("pilot_data_states"), name), state_and_reason)


def pilot_data_used(keys: Keys, name: str) -> Query[int]:
    """Read how many bytes are used at a Pilot-Data."""
    return Query(("HGET", keys.named("pilot_data_used"), name), number)


def pilot_data_places(keys: Keys, names: Sequence[str]) -> Query[list[PilotDataPlace]]:
    """Read what placing knows of Pilot-Data; the defaults for those of which it knows nothing."""
    return Query(
        ("HMGET", keys.named("pilot_data_places"), *names),
        lambda reply: [PilotDataPlace.from_bytes(record or b"") for record in reply],
    )


def pilot_data_made(keys: Keys) -> Query[list[str]]:
    """Read all Pilot-Data, in the order in which they were made."""
    return Query(("LRANGE", keys.named("pilot_data_made"), 0, -1), texts)


def data_unit_record(keys: Keys, name: str) -> Query[bytes | None]:
    """Read the sealed record of a data unit."""
    return Query(("HGET", keys.named("data_units"), name), as_is)


def data_unit_state(keys: Keys, name: str) -> Query[tuple[str, str]]:
    """Read state and reason of a data unit; empty for one that is not known or cannot be read."""
    return Query(("HGET", keys.named("data_unit_states"), name), state_and_reason)


def data_unit_states(keys: Keys, names: Sequence[str]) -> Query[list[tuple[str, str]]]:
    """Read state and reason of data units; empty for those that are not known or cannot be read."""
    return Query(
        ("HMGET", keys.named("data_unit_states"), *names), lambda reply: [*map(state_and_reason, reply)]
    )


def data_unit_bytes(keys: Keys, name: str) -> Query[int]:
    """Read how many bytes the files of a data unit have."""
    return Query(("HGET", keys.named("data_unit_bytes"), name), number)


def data_units_made(keys: Keys) -> Query[list[str]]:
    """Read all data units, in the order in which they were made."""
    return Query(("LRANGE", keys.named("data_units_made"), 0, -1), texts)


def number_of_files(keys: Keys, data_unit: str) -> Query[int]:
    """Read how many files a data unit has."""
    return Query(("HLEN", keys.files(data_unit)), number)


def replicas(keys: Keys, data_unit: str) -> Query[list[ReplicaRecord]]:
    """Read the replicas of a data unit."""
    return Query(("HGET", keys.named("replicas"), data_unit), lambda reply: replica_records(data_unit, reply))


def asked(keys: Keys, most: int = 0) -> Query[list[tuple[str, str]]]:
    """Read which replicas somebody is to make, or makes: data unit and Pilot-Data.

    Args:
        keys: The session's.
        most: So many of them at random; 0 for all.
    """
    if most:
        return Query(("SRANDMEMBER", keys.named("asked"), most), data_unit_and_pilot_data)
    return Query(("SMEMBERS", keys.named("asked")), data_unit_and_pilot_data)


def producers(keys: Keys, names: Sequence[str]) -> Query[list[int]]:
    """Read how many units are still to add files to data units."""
    return Query(("HMGET", keys.named("producers"), *names), lambda reply: [*map(number, reply)])


def spoilt(keys: Keys, names: Sequence[str]) -> Query[list[str | None]]:
    """Read which unit that was to add files to a data unit was the first to end otherwise than well."""
    return Query(
        ("HMGET", keys.named("spoilt"), *names),
        lambda reply: [None if name is None else text_of(name) for name in reply],
    )


def read_data_unit(keys: Keys, name: str) -> Operation[DataUnitReading]:
    """Read all that is known of a data unit, but its files, in one go."""
    return Operation("read_data_unit", keys.prefix, (name,), lambda reply: data_unit_reading(name, reply))


def files(keys: Keys, data_unit: str, cursor: int, count: int) -> Query[tuple[int, list[tuple[str, bytes]]]]:
    """Read some files of a data unit: the next cursor, 0 at the end, then paths and sealed records.

    What changes meanwhile may come twice or be missed; what does not comes at least once.
    """
    return Query(("HSCAN", keys.files(data_unit), cursor, "COUNT", count), file_records)


def path_bytes(path: str) -> bytes:
    """Return a path as a field of a hash; names that are no UTF-8 are what they are."""
    return path.encode("utf-8", "surrogateescape")


def _read_claim(reply: Any) -> ClaimAnswer:
    return ClaimAnswer(text_of(reply[0]), text_of(reply[1]))


def _read_delivery(reply: Any) -> DeliveryAnswer:
    return DeliveryAnswer(text_of(reply[0]), text_of(reply[1]))
