"""How replies about Pilot-Data, data units and replicas are read, and texts are quoted in what is said about them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from .data_records import DataUnitReading, ReplicaLetter, ReplicaRecord
from .errors import ProtocolError
from .operation import text_of
from .reads import pairs
from .states import State

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


def quoted(text: str) -> str:
    """Return a text without blanks and separators."""
    return quote(text, safe="", errors="surrogatepass")


def unquoted(text: str) -> str:
    """Return what was quoted; what somebody has spoilt hides nothing else."""
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:
        return unquote(text)


def number(reply: Any) -> int:
    """Return a number; one that is missing or cannot be read is 0."""
    try:
        return int(reply or 0)
    except ValueError:
        return 0


def number_or_none(reply: Any) -> int | None:
    """Return a number, if there is one."""
    return None if reply is None else int(reply)


def as_is(reply: Any) -> bytes | None:
    """Return a record, if there is one."""
    return None if reply is None else bytes(reply)


def texts(reply: Any) -> list[str]:
    """Return a list of texts."""
    return [text_of(name) for name in reply]


def state_and_reason(reply: Any) -> tuple[str, str]:
    """Return state and reason; empty for what is not known or cannot be read."""
    state, _, rest = text_of(reply or b"").partition("|")
    return (state if state in _STATES else ""), unquoted(rest.rpartition("|")[2])


def replica_records(data_unit: str, reply: Any) -> list[ReplicaRecord]:
    """Return the replicas of a data unit that can be read."""
    return [
        record
        for text in text_of(reply or b"").split()
        if (record := _replica_record(data_unit, text)) is not None
    ]


def _replica_record(data_unit: str, text: str) -> ReplicaRecord | None:
    parts = text.split("|")
    if len(parts) != 8 or parts[1] not in _LETTERS or not parts[4].isdecimal():
        return None
    return ReplicaRecord(data_unit, parts[0], parts[1], parts[2], int(parts[4]), unquoted(parts[7]))


def file_records(reply: Any) -> tuple[int, list[tuple[str, bytes]]]:
    """Return the next cursor, paths and sealed records.

    Raises:
        ProtocolError: A record has no size.
    """
    cursor, found = reply
    records = []
    for path, value in pairs(found):
        size, separator, record = bytes(value).partition(b"|")
        if not separator or not size.isdigit():
            raise ProtocolError(f"the record of file {path!r} cannot be read: {value[:80]!r}")
        records.append((bytes(path).decode("utf-8", "surrogateescape"), record))
    return int(cursor), records


def data_unit_and_pilot_data(reply: Any) -> list[tuple[str, str]]:
    """Return the data unit and the Pilot-Data of replicas, in the order of their names."""
    found = (text.split(" ", 1) for text in texts(reply) if " " in text)
    return sorted((data_unit, pilot_data) for data_unit, pilot_data in found)


def data_unit_reading(data_unit: str, reply: Any) -> DataUnitReading:
    """Return all that is known of a data unit."""
    record, state, size, count, replicas, producers, spoilt_by = reply
    return DataUnitReading(
        as_is(record),
        *state_and_reason(state),
        number(size),
        number(count),
        replica_records(data_unit, replicas),
        number(producers),
        text_of(spoilt_by or b""),
    )
