"""Values come back as they went, and no bytes do harm."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_protocol import codec
from pilot_protocol.errors import ProtocolError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_values_come_back(value: object) -> None:
    assert codec.decode(codec.encode(value)) == value


@given(st.binary())
def test_names_of_files_that_are_no_utf8_come_back(name: bytes) -> None:
    text = name.decode("utf-8", "surrogateescape")
    assert codec.decode(codec.encode(text)).encode("utf-8", "surrogateescape") == name


def test_what_is_written_is_compact_ascii() -> None:
    assert codec.encode({"a": [1, "ä"]}) == b'{"a":[1,"\\u00e4"]}'


@given(st.binary())
def test_any_bytes_are_read_or_refused(record: bytes) -> None:
    with suppress(ProtocolError):  # and nothing else
        codec.decode(record)


@pytest.mark.parametrize(
    "record",
    [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000 + b"x", b"'a'", b'{"a":1}{}'],
    ids=["empty", "open", "no UTF-8", "deep", "long number", "python", "two values"],
)
def test_spoilt_records_are_refused(record: bytes) -> None:
    with pytest.raises(ProtocolError, match="not JSON"):
        codec.decode(record)


def test_a_record_that_is_too_large_is_not_read() -> None:
    with pytest.raises(ProtocolError, match=f"at most {codec.LIMIT_BYTES}"):
        codec.decode(b'"' + b"x" * codec.LIMIT_BYTES + b'"')


@pytest.mark.parametrize("record", [b"[]", b"1", b"null", b'"a"'])
def test_an_object_must_be_one(record: bytes) -> None:
    with pytest.raises(ProtocolError, match="an object was expected"):
        codec.decode_object(record)


def test_an_object_is_returned() -> None:
    assert codec.decode_object(b' {"a": 1} ') == {"a": 1}
