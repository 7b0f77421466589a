"""Operations on Pilot-Data, data units and replicas, and their reads. Pure: they build arguments and read replies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from .data_records import FileRecord, ReplicaLetter, ReplicaRecord
from .errors import ProtocolError
from .keys import Keys
from .operation import Argument, Operation, Query, text_of
from .reads import pairs
from .states import State


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


@dataclass(frozen=True)
class ClaimAnswer:
    """Reply to a claim of a replica."""

    verdict: str
    """``granted``, ``done``, ``held``, ``full``, ``unasked``, ``unit`` or ``store``; see ``lua/claim_replica.lua``."""
    detail: str
    """Who holds it, or how many bytes others use."""


def declare_pilot_data(keys: Keys, name: str, record: bytes) -> Operation[int]:
    """Make a Pilot-Data known, Running."""
    return Operation("declare_pilot_data", keys.prefix, (name, record), int)


def end_pilot_data(keys: Keys, name: str, state: str, reason: str) -> Operation[int]:
    """Set a final state."""
    return Operation("end_pilot_data", keys.prefix, (name, state, _quoted(reason)), int)


def declare_data_unit(keys: Keys, name: str, record: bytes, replicas: int) -> Operation[int]:
    """Make a data unit known, Pending; ``replicas`` is how many it asks for."""
    return Operation("declare_data_unit", keys.prefix, (name, record, replicas), int)


def end_data_unit(keys: Keys, name: str, state: str, reason: str) -> Operation[int]:
    """Set a final state."""
    return Operation("end_data_unit", keys.prefix, (name, state, _quoted(reason)), int)


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
    return Operation("put_files", keys.prefix, arguments, _number_or_none)


def remove_files(keys: Keys, data_unit: str, paths: Sequence[str]) -> Operation[int | None]:
    """Forget files, at most :data:`~pilot_protocol.operation.BATCH`; None when the data unit is not known."""
    return Operation("remove_files", keys.prefix, (data_unit, *map(path_bytes, paths)), _number_or_none)


def ask_replica(keys: Keys, data_unit: str, pilot_data: str) -> Operation[int | None]:
    """Ask for a replica; None when the data unit is not known."""
    return Operation("ask_replica", keys.prefix, (data_unit, pilot_data), _number_or_none)


def claim_replica(keys: Keys, claim: ReplicaClaim, lease_ms: int) -> Operation[ClaimAnswer]:
    """Take the lease of a replica."""
    arguments = (
        claim.data_unit, claim.pilot_data, claim.owner, claim.size, claim.limit, lease_ms, _quoted(claim.reason),
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
        record.data_unit, record.pilot_data, record.owner, record.letter, record.bytes, _quoted(record.reason),
    )  # fmt: skip
    return Operation("settle_replica", keys.prefix, arguments, int)


def forget_replica(keys: Keys, data_unit: str, pilot_data: str) -> Operation[int]:
    """Forget a replica whose files are gone."""
    return Operation("forget_replica", keys.prefix, (data_unit, pilot_data), int)


def pilot_data_record(keys: Keys, name: str) -> Query[bytes | None]:
    """Read the sealed record of a Pilot-Data."""
    return Query(("HGET", keys.named("pilot_data"), name), _as_is)


def pilot_data_state(keys: Keys, name: str) -> Query[tuple[str, str]]:
    """Read state and reason of a Pilot-Data; empty for one that is not known or cannot be read."""
    return Query(("HGET", keys.named("pilot_data_states"), name), _read_state)


def pilot_data_used(keys: Keys, name: str) -> Query[int]:
    """Read how many bytes are used at a Pilot-Data."""
    return Query(("HGET", keys.named("pilot_data_used"), name), _number)


def pilot_data_made(keys: Keys) -> Query[list[str]]:
    """Read all Pilot-Data, in the order in which they were made."""
    return Query(("LRANGE", keys.named("pilot_data_made"), 0, -1), _texts)


def data_unit_record(keys: Keys, name: str) -> Query[bytes | None]:
    """Read the sealed record of a data unit."""
    return Query(("HGET", keys.named("data_units"), name), _as_is)


def data_unit_state(keys: Keys, name: str) -> Query[tuple[str, str]]:
    """Read state and reason of a data unit; empty for one that is not known or cannot be read."""
    return Query(("HGET", keys.named("data_unit_states"), name), _read_state)


def data_unit_bytes(keys: Keys, name: str) -> Query[int]:
    """Read how many bytes the files of a data unit have."""
    return Query(("HGET", keys.named("data_unit_bytes"), name), _number)


def data_units_made(keys: Keys) -> Query[list[str]]:
    """Read all data units, in the order in which they were made."""
    return Query(("LRANGE", keys.named("data_units_made"), 0, -1), _texts)


def number_of_files(keys: Keys, data_unit: str) -> Query[int]:
    """Read how many files a data unit has."""
    return Query(("HLEN", keys.files(data_unit)), _number)


def replicas(keys: Keys, data_unit: str) -> Query[list[ReplicaRecord]]:
    """Read the replicas of a data unit."""
    return Query(("HGET", keys.named("replicas"), data_unit), lambda reply: _read_replicas(data_unit, reply))


def files(keys: Keys, data_unit: str, cursor: int, count: int) -> Query[tuple[int, list[tuple[str, bytes]]]]:
    """Read some files of a data unit: the next cursor, 0 at the end, then paths and sealed records.

    What changes meanwhile may come twice or be missed; what does not comes at least once.
    """
    return Query(("HSCAN", keys.files(data_unit), cursor, "COUNT", count), _read_files)


def path_bytes(path: str) -> bytes:
    """Return a path as a field of a hash; names that are no UTF-8 are what they are."""
    return path.encode("utf-8", "surrogateescape")


def _quoted(text: str) -> str:
    """Return a text without blanks and separators."""
    return quote(text, safe="", errors="surrogatepass")


def _unquoted(text: str) -> str:
    """Return what was quoted; what somebody has spoilt hides nothing else."""
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:
        return unquote(text)


def _read_claim(reply: Any) -> ClaimAnswer:
    return ClaimAnswer(text_of(reply[0]), text_of(reply[1]))


def _number(reply: Any) -> int:
    try:
        return int(reply or 0)
    except ValueError:
        return 0


def _number_or_none(reply: Any) -> int | None:
    return None if reply is None else int(reply)


def _as_is(reply: Any) -> bytes | None:
    return None if reply is None else bytes(reply)


def _texts(reply: Any) -> list[str]:
    return [text_of(name) for name in reply]


def _read_state(reply: Any) -> tuple[str, str]:
    state, _, rest = text_of(reply or b"").partition("|")
    return (state if state in _STATES else ""), _unquoted(rest.rpartition("|")[2])


def _read_replicas(data_unit: str, reply: Any) -> list[ReplicaRecord]:
    return [
        record
        for text in text_of(reply or b"").split()
        if (record := _read_replica(data_unit, text)) is not None
    ]


def _read_replica(data_unit: str, text: str) -> ReplicaRecord | None:
    parts = text.split("|")
    if len(parts) != 8 or parts[1] not in _LETTERS or not parts[4].isdecimal():
        return None
    return ReplicaRecord(data_unit, parts[0], parts[1], parts[2], int(parts[4]), _unquoted(parts[7]))


_STATES = frozenset(map(str, State))
_LETTERS = frozenset(
    {
        ReplicaLetter.PENDING,
        ReplicaLetter.RUNNING,
        ReplicaLetter.DONE,
        ReplicaLetter.FAILED,
        ReplicaLetter.CANCELED,
    }
)


def _read_files(reply: Any) -> tuple[int, list[tuple[str, bytes]]]:
    cursor, found = reply
    records = []
    for path, value in pairs(found):
        size, separator, record = bytes(value).partition(b"|")
        if not separator or not size.isdigit():
            raise ProtocolError(f"the record of file {path!r} cannot be read: {value[:80]!r}")
        records.append((bytes(path).decode("utf-8", "surrogateescape"), record))
    return int(cursor), records
