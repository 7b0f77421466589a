"""Replies to reads: both shapes in which clients of Redis hand them over; what is spoilt hides nothing else."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from pilot_protocol import reads
from pilot_protocol.errors import ProtocolError
from pilot_protocol.keys import Keys
from pilot_protocol.messages import UnitRecord
from pilot_protocol.operation import Query
from pilot_protocol.reads import SessionEvent

KEYS = Keys("s-aaaaaaaaaaaaaaaa")
IDS = ["cu-a-0", "cu-a-1", "cu-a-2"]
QUEUE = "cds-a/,/1.1.0.0/0"

Shape = Callable[[dict[bytes, Any]], Any]


def flat(mapping: dict[bytes, Any]) -> list[Any]:
    """As RESP2 sends a hash."""
    return [part for pair in mapping.items() for part in pair]


@pytest.fixture(params=[flat, dict], ids=["flat", "mapping"])
def shape(request: pytest.FixtureRequest) -> Shape:
    shape: Shape = request.param
    return shape


def test_records_of_units() -> None:
    good = f"R|2|p-a|0|3|{QUEUE}|9".encode()
    reply = [good, None, b"R|2|p-a"]
    assert reads.units(KEYS, IDS).parse(reply) == [UnitRecord("R", 2, "p-a", 0, 3, QUEUE, 9), None, None]


@pytest.mark.parametrize("read", [reads.descriptions, reads.templates, reads.results])
def test_sealed_records_come_as_they_are(read: Callable[..., Query[list[Any]]]) -> None:
    assert read(KEYS, IDS).parse([b"\xff", None, b""]) == [b"\xff", None, b""]


def test_reasons() -> None:
    assert reads.reasons(KEYS, IDS).parse([b"dependency cu-a-9", None, b"\xff"]) == [
        "dependency cu-a-9",
        None,
        "\ufffd",
    ]


def test_numbers_of_open_predecessors() -> None:
    assert reads.open_predecessors(KEYS, IDS).parse([b"2", None, b"two"]) == [2, None, None]


def test_counts(shape: Shape) -> None:
    fields = {b"g|N": b"3", b"g|D": b"40", b"h|F": b"1", b"h|C": b"spoilt"}
    assert reads.counts(KEYS).parse(shape(fields)) == {"g": {"N": 3, "D": 40}, "h": {"F": 1, "C": 0}}


@pytest.mark.parametrize("read", [reads.groups, reads.pilots])
def test_names_by_names(read: Callable[[Keys], Query[dict[str, str]]], shape: Shape) -> None:
    assert read(KEYS).parse(shape({b"a": b"b", b"c": b""})) == {"a": "b", "c": ""}
    assert read(KEYS).parse(shape({})) == {}


def test_attachments(shape: Shape) -> None:
    fields = {b"pcs-a": b"cds-a cds-b", b"pcs-b": b""}
    assert reads.attachments(KEYS).parse(shape(fields)) == {"pcs-a": ("cds-a", "cds-b"), "pcs-b": ()}


def test_a_pilot_s_record(shape: Shape) -> None:
    fields = {b"state": b"Running", b"description": b"\xff"}
    assert reads.pilot(KEYS, "p-a").parse(shape(fields)) == {"state": b"Running", "description": b"\xff"}


@pytest.mark.parametrize(("reply", "version"), [(b"1.0", "1.0"), (None, None)])
def test_the_session_s_version(reply: bytes | None, version: str | None) -> None:
    assert reads.protocol(KEYS).parse(reply) == version


@pytest.mark.parametrize(("reply", "end"), [(b"1700000000000", 1.7e12), (None, None)])
def test_the_end_of_a_lease(reply: bytes | None, end: float | None) -> None:
    assert reads.lease_end(KEYS, "p-a").parse(reply) == end


@pytest.mark.parametrize("read", [reads.first_event, reads.last_event])
def test_cursors(read: Callable[[Keys], Query[str]]) -> None:
    assert read(KEYS).parse([(b"5-1", [b"R", b"cu-a-0"])]) == "5-1"
    assert read(KEYS).parse([]) == "0-0"


def test_events(shape: Shape) -> None:
    first = (b"5-0", shape({b"R": b"cu-a-0 cu-a-1", b"P": b"p-a:Running p-b:Failed"}))
    second = (b"5-1", shape({b"D": b"cu-a-0", b"+": b"units"}))
    read = [
        SessionEvent("5-0", {"R": ["cu-a-0", "cu-a-1"]}, [("p-a", "Running"), ("p-b", "Failed")]),
        SessionEvent("5-1", {"D": ["cu-a-0"]}, [], has_more=True),
    ]
    query = reads.events(KEYS, "0-0", 10)
    assert query.parse([[b"stream", [first, second]]]) == read
    assert query.parse({b"stream": [[first, second]]}) == read


def test_events_of_data_are_no_events_of_units(shape: Shape) -> None:
    fields = {b"U": b"du-a:Pending du-a:Running", b"Q": b"pd-a:Canceled", b"D": b"cu-a-0"}
    query = reads.events(KEYS, "0-0", 10)
    told = (("du-a", "Pending"), ("du-a", "Running"), ("pd-a", "Canceled"))
    assert query.parse([[b"stream", [(b"5-0", shape(fields))]]]) == [
        SessionEvent("5-0", {"D": ["cu-a-0"]}, [], data=told)
    ]


@pytest.mark.parametrize("reply", [None, [], {}])
def test_no_event_came(reply: Any) -> None:
    assert reads.events(KEYS, "0-0", 10).parse(reply) == []


def test_an_event_of_a_later_version_is_no_harm() -> None:
    (event,) = reads.events(KEYS, "0-0", 10).parse(
        [[b"stream", [(b"5-0", [b"new", b"x y", b"D", b"cu-a-0"])]]]
    )
    assert event.units["D"] == ["cu-a-0"]


@pytest.mark.parametrize("reply", [None, 7, b"text", [b"odd"]])
def test_what_has_no_fields_is_refused(reply: Any) -> None:
    with pytest.raises(ProtocolError, match=f"a {type(reply).__name__}"):
        reads.pairs(reply)
