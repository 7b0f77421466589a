"""A record opens only as what it was sealed for, and only with the session's key."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_protocol.errors import ForgedRecordError, ProtocolError
from pilot_protocol.signing import CANCEL, KEY_BYTES, RESULT, SIGNATURE_BYTES, UNIT, Seal

KEY = bytes(range(KEY_BYTES))
SEAL = Seal("s-abcdefghijklmnop", KEY)


@given(st.binary())
def test_what_is_sealed_opens(payload: bytes) -> None:
    assert SEAL.open(UNIT, "cu-abcdef-1", SEAL.close(UNIT, "cu-abcdef-1", payload)) == payload


def test_the_signature_is_the_documented_hmac() -> None:
    text = b"1\0s-abcdefghijklmnop\0unit\0cu-abcdef-1\0payload"
    expected = hmac.new(KEY, text, hashlib.sha256).digest()[:16]
    assert SEAL.close(UNIT, "cu-abcdef-1", b"payload") == expected + b"payload"


@given(st.binary(min_size=1), st.data())
def test_no_changed_byte_passes(payload: bytes, data: st.DataObject) -> None:
    record = bytearray(SEAL.close(RESULT, "cu-abcdef-1:1", payload))
    record[data.draw(st.integers(0, len(record) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ForgedRecordError):
        SEAL.open(RESULT, "cu-abcdef-1:1", bytes(record))


@given(st.binary(max_size=3 * SIGNATURE_BYTES))
def test_invented_records_are_refused(record: bytes) -> None:
    with pytest.raises(ForgedRecordError):
        SEAL.open(UNIT, "cu-abcdef-1", record)


@pytest.mark.parametrize(
    ("seal", "kind", "name"),
    [
        (SEAL, UNIT, "cu-abcdef-2"),
        (SEAL, CANCEL, "cu-abcdef-1"),
        (Seal("s-other", KEY), UNIT, "cu-abcdef-1"),
        (Seal("s-abcdefghijklmnop", bytes(KEY_BYTES)), UNIT, "cu-abcdef-1"),
    ],
    ids=["another unit", "another purpose", "another session", "another key"],
)
def test_a_moved_record_does_not_open(seal: Seal, kind: bytes, name: str) -> None:
    record = SEAL.close(UNIT, "cu-abcdef-1", b"payload")
    with pytest.raises(ForgedRecordError, match=f"the {kind.decode()} record of {name} is not signed"):
        seal.open(kind, name, record)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_256_bits(length: int) -> None:
    with pytest.raises(ProtocolError, match=f"32 bytes, {length} were given"):
        Seal("s-abc", bytes(length))


def test_the_key_is_not_shown() -> None:
    seal = Seal("s-abc", b"0123456789abcdef0123456789abcdef")
    assert "0123" not in repr(seal)
