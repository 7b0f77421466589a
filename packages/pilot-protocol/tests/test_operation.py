"""Replies of scripts: read from the bytes that Redis sends; refusals become errors with the right meaning."""

from __future__ import annotations

from typing import Any

import pytest

from pilot_protocol import pilot_ops, unit_ops
from pilot_protocol.errors import CoordinationError, PilotError
from pilot_protocol.keys import Keys
from pilot_protocol.operation import (
    BarrierError,
    FencedError,
    NoSessionError,
    Operation,
    PilotEndedError,
    refusal,
)
from pilot_protocol.pilot_ops import Beaten, OpenedSession, PilotEnd, Registered
from pilot_protocol.unit_ops import Claimed, ClaimRequest, LeasedUnit, Reported, Submitted, read_controls

KEYS = Keys("s-aaaaaaaaaaaaaaaa")
REQUEST = ClaimRequest("p-a", "5", 1, 10, 4, reserve=False, control_seen=0)


@pytest.mark.parametrize(
    ("message", "kind", "transient"),
    [
        ("FENCED pilot p-a has a newer epoch", FencedError, True),
        ("ENDED pilot p-a is Done", PilotEndedError, False),
        ("BARRIER pilots are still coming back after a restart", BarrierError, True),
        ("NOSESSION the session is not on this server", NoSessionError, True),
    ],
)
def test_a_script_s_refusal(message: str, kind: type[CoordinationError], transient: bool) -> None:
    error = refusal(message)
    assert type(error) is kind
    assert isinstance(error, PilotError)
    assert error.transient is transient
    assert str(error) == message


@pytest.mark.parametrize("message", ["", "OOM command not allowed", "ERR FENCED", "FENCEDX", "fenced x"])
def test_words_of_redis_are_no_refusal(message: str) -> None:
    assert refusal(message) is None


def test_a_claim_is_read() -> None:
    reply = [9, [b"7 sealed order with spaces"], b"cu-a-1", 1, b"first", b"cu-a-2", 3, b"second"]
    units = (LeasedUnit("cu-a-1", 1, b"first"), LeasedUnit("cu-a-2", 3, b"second"))
    claimed = unit_ops.claim(KEYS, REQUEST).parse(reply)
    assert claimed == Claimed(9, ((7, b"sealed order with spaces"),), units)


def test_a_claim_without_units_is_read() -> None:
    assert unit_ops.claim(KEYS, REQUEST).parse([9, []]) == Claimed(9, (), ())


def test_a_unit_whose_description_is_gone_has_an_empty_one() -> None:
    assert unit_ops.claim(KEYS, REQUEST).parse([9, [], b"cu-a-1", 1, None]).units[0].description == b""


def test_an_order_may_hold_any_bytes() -> None:
    assert read_controls([b"12 \x00 \xff\n", b"13 "]) == ((12, b"\x00 \xff\n"), (13, b""))


@pytest.mark.parametrize(
    ("operation", "reply", "read"),
    [
        (unit_ops.submit(KEYS, "g", "cds-a", [], {}), [2, b"cu-g-7"], Submitted(2, ("cu-g-7",))),
        (unit_ops.report(KEYS, "p-a", "5", []), [9, 1, b"1203"], Reported(9, True, "1203")),
        (unit_ops.report(KEYS, "p-a", "5", []), [9, 0, b""], Reported(9, False, "")),
        (unit_ops.cancel(KEYS, []), b"1234", "1234"),
        (pilot_ops.open_session(KEYS, "1.0", 1), [b"1.3", 30000, 9], OpenedSession("1.3", 30000, 9)),
        (pilot_ops.register(KEYS, "p-a", "i", 1, {}), [b"5", b"1.0", 9], Registered("5", "1.0", 9)),
        (pilot_ops.sync(KEYS, "p-a", "5", 1, []), [b"cu-g-7"], ("cu-g-7",)),
        (pilot_ops.sync(KEYS, "p-a", "5", 1, []), [], ()),
        (pilot_ops.beat(KEYS, "p-a", "5", 1, 0, {}), [9, 1, [b"3 x"]], Beaten(9, True, ((3, b"x"),))),
        (pilot_ops.attach(KEYS, "pcs-a", "cds-a"), [b"cds-a"], ("cds-a",)),
        (pilot_ops.create_pilot(KEYS, "p-a", "pcs-a", b""), 1, 1),
        (pilot_ops.sweep(KEYS), 2, 2),
        (pilot_ops.control(KEYS, "p-a", b""), 0, 0),
        (pilot_ops.end(KEYS, "p-a", "", PilotEnd("Done", "")), 1, 1),
        (pilot_ops.purge(KEYS), 12, 12),
    ],
)
def test_replies_are_read(operation: Operation[Any], reply: Any, read: Any) -> None:
    assert operation.parse(reply) == read
    assert operation.prefix == KEYS.prefix


def test_an_operation_can_be_said_twice() -> None:
    reports = (unit_ops.UnitReport(f"cu-a-{number}", 1, "R") for number in range(2))
    arguments = unit_ops.report(KEYS, "p-a", "5", reports).arguments
    assert list(arguments) == list(arguments)
    assert len(arguments) == 2 + 2 * 4
