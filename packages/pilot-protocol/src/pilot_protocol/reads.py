"""Reads of a session: plain Redis commands as data, and how to read their replies. No I/O.

Each read touches named fields only; nothing scans keys, and nothing reads a whole hash that grows with the units.
Invariant: a value that somebody has spoilt counts as absent, and never hides the others of the same read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .errors import ProtocolError
from .keys import Keys
from .messages import UnitRecord
from .operation import Query, text_of
from .placements import Placement, read_placement

EVENTS_PER_READ = 200
"""Most entries of one read of the event stream."""


@dataclass(frozen=True)
class SessionEvent:
    """One entry of the event stream: what one script changed."""

    cursor: str
    units: Mapping[str, Sequence[str]]
    """Units by the letter of their new state: N (back in the queue), S, R, D, F, C."""
    pilots: Sequence[tuple[str, str]]
    """Pilots and their new states."""
    has_more: bool = False
    """Whether the script left something to be gone on with: anybody may say ``sweep``."""
    data: Sequence[tuple[str, str]] = ()
    """Data units and Pilot-Data, and their states: new ones, or the same when a replica has got on."""


def units(keys: Keys, ids: Sequence[str]) -> Query[list[UnitRecord | None]]:
    """Read the progress of units; None for one that Redis does not know, or whose record cannot be read."""
    return Query(("HMGET", keys.named("units"), *ids), _each(UnitRecord.from_bytes))


def descriptions(keys: Keys, ids: Sequence[str]) -> Query[list[bytes | None]]:
    """Read units' sealed descriptions."""
    return Query(("HMGET", keys.named("descriptions"), *ids), list)


def templates(keys: Keys, digests: Sequence[str]) -> Query[list[bytes | None]]:
    """Read sealed templates."""
    return Query(("HMGET", keys.named("templates"), *digests), list)


def results(keys: Keys, ids: Sequence[str]) -> Query[list[bytes | None]]:
    """Read units' sealed results; None while there is none."""
    return Query(("HMGET", keys.named("results"), *ids), list)


def reasons(keys: Keys, ids: Sequence[str]) -> Query[list[str | None]]:
    """Read why scripts ended units: ``lost``, ``canceled``, ``poison``, ``dependency <unit or data unit>``; None otherwise."""
    return Query(("HMGET", keys.named("reasons"), *ids), _each(text_of))


def open_predecessors(keys: Keys, ids: Sequence[str]) -> Query[list[int | None]]:
    """Read how many predecessors, data units and copies units still wait for; None for one that waits for none."""
    return Query(("HMGET", keys.named("open_predecessors"), *ids), _each(int))


def inputs(keys: Keys, ids: Sequence[str]) -> Query[list[tuple[str, ...] | None]]:
    """Read which data units units read; None for one that reads none, or has ended."""
    return Query(("HMGET", keys.named("inputs"), *ids), _each(lambda text: tuple(text_of(text).split()[2:])))


def placements(keys: Keys, ids: Sequence[str]) -> Query[list[Placement | None]]:
    """Read where units with inputs were placed, and why; None for one that was not."""
    return Query(("HMGET", keys.named("placements"), *ids), _each(read_placement))


def counts(keys: Keys) -> Query[dict[str, dict[str, int]]]:
    """Read the number of units per group and letter."""
    return Query(("HGETALL", keys.named("counts")), _read_counts)


def groups(keys: Keys) -> Query[dict[str, str]]:
    """Read each group's owner."""
    return Query(("HGETALL", keys.named("groups")), _read_mapping)


def pilots(keys: Keys) -> Query[dict[str, str]]:
    """Read each pilot's PilotComputeService."""
    return Query(("HGETALL", keys.named("pilots")), _read_mapping)


def attachments(keys: Keys) -> Query[dict[str, tuple[str, ...]]]:
    """Read which compute-data services use each PilotComputeService and PilotDataService."""
    return Query(("HGETALL", keys.named("attachments")), _read_attachments)


def pilot(keys: Keys, name: str) -> Query[dict[str, bytes]]:
    """Read a pilot's record; empty when there is none."""
    return Query(("HGETALL", keys.pilot(name)), _read_fields)


def lease_end(keys: Keys, name: str) -> Query[float | None]:
    """Read when a pilot's lease ends, in milliseconds of the server's clock; None when it has none."""
    return Query(
        ("ZSCORE", keys.named("leases"), name), lambda reply: None if reply is None else float(reply)
    )


def protocol(keys: Keys) -> Query[str | None]:
    """Read the protocol version of the session; None when the server does not know the session."""
    return Query(
        ("HGET", keys.named("meta"), "protocol"), lambda reply: None if reply is None else text_of(reply)
    )


def created(keys: Keys) -> Query[int | None]:
    """Read when the session was made, milliseconds by the server's clock; None when the server does not know it."""
    return Query(("HGET", keys.named("meta"), "created"), lambda reply: _read_or_none(int, reply or b""))


def last_event(keys: Keys) -> Query[str]:
    """Read the newest event's cursor; ``0-0`` before the first."""
    return Query(("XREVRANGE", keys.named("events"), "+", "-", "COUNT", 1), _read_last)


def first_event(keys: Keys) -> Query[str]:
    """Read the oldest kept event's cursor: a reader behind it must read the records again."""
    return Query(("XRANGE", keys.named("events"), "-", "+", "COUNT", 1), _read_last)


def events(keys: Keys, cursor: str, block_ms: int) -> Query[list[SessionEvent]]:
    """Wait for events after ``cursor``; empty after ``block_ms`` (0: wait for ever) without one."""
    command = ("XREAD", "COUNT", EVENTS_PER_READ, "BLOCK", block_ms, "STREAMS", keys.named("events"), cursor)
    return Query(command, _read_events)


def _each(read: Callable[[bytes], Any]) -> Callable[[Any], list[Any]]:
    return lambda reply: [None if value is None else _read_or_none(read, value) for value in reply]


def _read_or_none(read: Callable[[bytes], Any], value: bytes) -> Any:
    try:
        return read(value)
    except (ProtocolError, ValueError):
        return None


def _read_mapping(reply: Any) -> dict[str, str]:
    return {text_of(name): text_of(value) for name, value in pairs(reply)}


def _read_fields(reply: Any) -> dict[str, bytes]:
    return {text_of(name): value for name, value in pairs(reply)}


def _read_attachments(reply: Any) -> dict[str, tuple[str, ...]]:
    return {text_of(name): tuple(text_of(value).split()) for name, value in pairs(reply)}


def _read_counts(reply: Any) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for field, number in pairs(reply):
        group, _, letter = text_of(field).rpartition("|")
        found.setdefault(group, {})[letter] = _read_or_none(int, number) or 0
    return found


def _read_last(reply: Any) -> str:
    return reply[0][0].decode() if reply else "0-0"


def _read_events(reply: Any) -> list[SessionEvent]:
    if not reply:
        return []
    streams = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    entries = streams[0] if isinstance(reply, dict) else streams
    return [_read_event(cursor, fields) for cursor, fields in entries]


def _read_event(cursor: bytes, fields: Any) -> SessionEvent:
    changed: dict[str, Sequence[str]] = {}
    pilots_told: list[tuple[str, str]] = []
    data_told: list[tuple[str, str]] = []
    has_more = False
    for letter, text in pairs(fields):
        names = text_of(text).split(" ")
        if letter == b"+":
            has_more = True
        elif letter == b"P":
            pilots_told += map(_name_and_state, names)
        elif letter in {b"U", b"Q"}:
            data_told += map(_name_and_state, names)
        else:
            changed[text_of(letter)] = names
    return SessionEvent(text_of(cursor), changed, pilots_told, has_more, tuple(data_told))


def _name_and_state(text: str) -> tuple[str, str]:
    name, _, state = text.partition(":")
    return name, state


def pairs(reply: Any) -> list[tuple[bytes, bytes]]:
    """Return the fields of a hash or an event, which clients hand over as a mapping or as a flat list.

    Raises:
        ProtocolError: It is neither.
    """
    if isinstance(reply, dict):
        return list(reply.items())
    if isinstance(reply, (list, tuple)) and len(reply) % 2 == 0:
        return list(zip(reply[::2], reply[1::2]))
    raise ProtocolError(f"Redis answered with a {type(reply).__name__} where fields were expected")
