"""Messages come back as they went; older and newer ones are read; spoilt ones are refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_protocol.errors import ProtocolError
from pilot_protocol.messages import REASONS, ControlOrder, UnitRecord, UnitResult, seal_name

TEXT = st.text(max_size=20)
TIMES = st.integers(0, 2**53)
RESULTS = st.builds(
    UnitResult,
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    reason=st.sampled_from(("", *REASONS)),
    message=TEXT,
    started_ms=TIMES,
    ended_ms=TIMES,
    user_s=st.floats(0, 1e9),
    system_s=st.floats(0, 1e9),
    peak_memory_kb=TIMES,
    cores=TEXT,
    node=TEXT,
    working_directory=TEXT,
    stdout=st.none() | TEXT,
    stderr=TEXT,
    stdout_file=TEXT,
    stderr_file=TEXT,
)


@given(RESULTS)
def test_a_result_comes_back(result: UnitResult) -> None:
    assert UnitResult.from_bytes(result.to_bytes()) == result


def test_defaults_at_the_end_are_not_written() -> None:
    assert UnitResult().to_bytes() == b"[]"
    assert UnitResult(exit_code=0, started_ms=5).to_bytes() == b'[0,null,"","",5]'


def test_an_older_reader_skips_what_it_does_not_know() -> None:
    newer = [*UnitResult(exit_code=3, stderr_file="/e"), "new field"]
    assert UnitResult.from_bytes(json.dumps(newer).encode()) == UnitResult(exit_code=3, stderr_file="/e")


def test_a_newer_reader_fills_in_what_is_missing() -> None:
    assert UnitResult.from_bytes(b"[1]") == UnitResult(exit_code=1)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"{}", "a list was expected"),
        (b"no", "not JSON"),
        (b'["1"]', "exit_code is '1'"),
        (b"[true]", "exit_code is True"),
        (b"[0,null,null]", "reason is None"),
        (b'[0,null,"","",1.5]', "started_ms is 1.5"),
        (b'[0,null,"","",1,2,"3"]', "user_s is '3'"),
    ],
)
def test_a_spoilt_result_is_refused(record: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        UnitResult.from_bytes(record)


@given(st.sampled_from(("stop", "drain", "cancel", "something new")), st.text(max_size=10))
def test_an_order_comes_back(verb: str, unit: str) -> None:
    order = ControlOrder(verb, unit)
    assert ControlOrder.from_bytes(order.to_bytes()) == order


def test_an_order_may_say_more_than_is_known() -> None:
    assert ControlOrder.from_bytes(b'{"verb":"drain","because":"walltime"}') == ControlOrder("drain")


@pytest.mark.parametrize("record", [b"{}", b"[]", b'{"verb":1}', b'{"verb":"cancel","unit":1}', b"\xff"])
def test_a_spoilt_order_is_refused(record: bytes) -> None:
    with pytest.raises(ProtocolError):
        ControlOrder.from_bytes(record)


def test_a_record_is_read() -> None:
    record = b"R|3|p-abc|1|2|cds-abc/,/1.1.0.0/-7|1700000000000"
    assert UnitRecord.from_bytes(record) == UnitRecord(
        letter="R",
        attempt=3,
        pilot="p-abc",
        retries_left=1,
        restarts_left=2,
        queue="cds-abc/,/1.1.0.0/-7",
        submitted_ms=1700000000000,
    )


@pytest.mark.parametrize(
    "record",
    [b"", b"R|1|p|0|0|q", b"X|1|p|0|0|q|5", b"R|-1|p|0|0|q|5", b"R|1|p|0|0|q|5|", b"\xff|1|p|0|0|q|5",
     b"R|" + b"9" * 5000 + b"|p|0|0|q|5", "R|१|p|0|0|q|5".encode()],
)  # fmt: skip
def test_a_spoilt_record_is_refused(record: bytes) -> None:
    with pytest.raises(ProtocolError, match="a unit's record cannot be read"):
        UnitRecord.from_bytes(record)


def test_a_result_is_sealed_for_one_attempt() -> None:
    assert seal_name("cu-abcdef-1", 2) == "cu-abcdef-1:2"
