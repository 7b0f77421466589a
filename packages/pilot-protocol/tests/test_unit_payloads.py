"""Sealed descriptions: every payload comes back, templates are shared, and nothing forged or incomplete is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot_protocol import codec, unit_payloads
from pilot_protocol.errors import DescriptionError, ForgedRecordError, ProtocolError
from pilot_protocol.signing import SIGNATURE_BYTES, TEMPLATE, UNIT, Seal
from pilot_protocol.unit_payloads import open_template, pack, template_of, unpack

SEAL = Seal("s-aaaaaaaaaaaaaaaa", bytes(32))
OTHER_KEY = Seal("s-aaaaaaaaaaaaaaaa", b"k" * 32)
NAME = "cu-aaaaaa-0"
SWEEP: list[dict[str, Any]] = [{"executable": "/bin/echo", "arguments": [str(number)]} for number in range(3)]

# Few letters, chosen for what they are in JSON and in UTF-8: all of Unicode costs seconds when it is first asked for.
texts = st.text('az\n"\\\0ü🙂\udcff', max_size=8)
payloads = st.dictionaries(
    st.sampled_from(["executable", "arguments", "environment", "output"]),
    texts | st.integers() | st.lists(texts, max_size=2),
)


def names(count: int) -> list[str]:
    return [f"cu-aaaaaa-{number}" for number in range(count)]


@settings(deadline=None)
@given(st.lists(payloads, min_size=1, max_size=5))
def test_every_payload_comes_back(batch: list[dict[str, Any]]) -> None:
    templates, records = pack(SEAL, names(len(batch)), batch)
    opened = {digest: open_template(SEAL, digest, record) for digest, record in templates.items()}
    for name, payload, record in zip(names(len(batch)), batch, records):
        assert unpack(SEAL, name, record, opened) == payload
        assert template_of(record) in {"", *templates}


def test_a_sweep_is_sent_with_one_template() -> None:
    templates, records = pack(SEAL, names(3), SWEEP)
    (digest,) = templates
    assert len(digest) == 12
    assert {template_of(record) for record in records} == {digest}
    assert all(b"/bin/echo" not in record for record in records)


def test_the_same_sweep_has_the_same_template() -> None:
    assert pack(SEAL, names(3), SWEEP) == pack(SEAL, names(3), SWEEP)


@pytest.mark.parametrize("batch", [SWEEP[:1], [{"a": 1}, {"a": 2}], [{"a": 1}, {"b": 1}]])
def test_what_shares_nothing_has_no_template(batch: list[dict[str, Any]]) -> None:
    templates, records = pack(SEAL, names(len(batch)), batch)
    assert not templates
    assert [template_of(record) for record in records] == [""] * len(batch)


def test_nothing_is_packed_into_nothing() -> None:
    assert pack(SEAL, [], []) == ({}, [])


def test_a_description_of_another_unit_does_not_open() -> None:
    _, (record,) = pack(SEAL, [NAME], SWEEP[:1])
    with pytest.raises(ForgedRecordError, match="cu-aaaaaa-1"):
        unpack(SEAL, "cu-aaaaaa-1", record, {})


def test_a_description_with_another_key_does_not_open() -> None:
    _, (record,) = pack(OTHER_KEY, [NAME], SWEEP[:1])
    with pytest.raises(ForgedRecordError):
        unpack(SEAL, NAME, record, {})


def test_a_template_of_another_name_or_key_does_not_open() -> None:
    ((digest, record),) = pack(SEAL, names(3), SWEEP)[0].items()
    with pytest.raises(ForgedRecordError):
        open_template(SEAL, "0" * 12, record)
    with pytest.raises(ForgedRecordError):
        open_template(OTHER_KEY, digest, record)


def test_a_missing_template_is_named() -> None:
    _, records = pack(SEAL, names(3), SWEEP)
    with pytest.raises(ProtocolError, match=template_of(records[0])):
        unpack(SEAL, NAME, records[0], {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{}", "no template reference"),
        (b"\n[1]", "an object was expected"),
        (b"\n{", "not JSON"),
        (b"\xff\n{}", "is missing"),
    ],
)
def test_signed_nonsense_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        unpack(SEAL, NAME, SEAL.close(UNIT, NAME, text), {})


def test_a_template_that_is_no_object_is_refused() -> None:
    with pytest.raises(ProtocolError, match="an object was expected"):
        open_template(SEAL, "d", SEAL.close(TEMPLATE, "d", b"[]"))


@pytest.mark.parametrize("tail", [b"", b"{}", b"0123456789abc\n{}"])
def test_a_record_that_is_none_asks_for_no_template(tail: bytes) -> None:
    assert template_of(tail) == ""
    assert template_of(bytes(SIGNATURE_BYTES) + tail) == ""


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_asked_for_their_template(record: bytes) -> None:
    assert isinstance(template_of(record), str)


def test_a_description_that_agents_would_not_read_is_refused_where_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "LIMIT_BYTES", 200)
    room = 200 - unit_payloads._HEAD_BYTES - len(b'{"input":""}')
    _, (record,) = pack(SEAL, [NAME], [{"input": "x" * room}])
    assert unpack(SEAL, NAME, record, {}) == {"input": "x" * room}
    with pytest.raises(DescriptionError, match="137 bytes, at most 136"):
        pack(SEAL, [NAME], [{"input": "x" * (room + 1)}])
