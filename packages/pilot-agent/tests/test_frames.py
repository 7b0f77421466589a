"""Frames between head and executor, in pieces of any size."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor_driver import encode_frame
from pilot_agent.node.frames import FrameDecoder, FrameError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_golden_bytes() -> None:
    assert encode_frame(["hello", {"pid": 7}]) == b'\x00\x00\x00\x13["hello",{"pid":7}]'


@given(st.lists(VALUES, max_size=5), st.integers(1, 50))
def test_values_survive_any_cut(values: list[Any], size: int) -> None:
    stream = b"".join(encode_frame(value) for value in values)
    decoder = FrameDecoder()
    decoded: list[object] = []
    for start in range(0, len(stream), size):
        decoded += decoder.feed(stream[start : start + size])
    assert decoded == values


@given(st.binary())
def test_any_bytes_of_output_survive(output: bytes) -> None:
    (value,) = FrameDecoder().feed(encode_frame([output.decode("utf-8", "surrogateescape")]))
    assert isinstance(value, list)
    assert value[0].encode("utf-8", "surrogateescape") == output


def test_incomplete_frame_waits() -> None:
    decoder = FrameDecoder()
    frame = encode_frame([1])
    assert decoder.feed(frame[:-1]) == []
    assert decoder.feed(frame[-1:]) == [[1]]


def test_announced_length_is_limited_before_the_body_comes() -> None:
    with pytest.raises(FrameError, match="announced a frame of 11 bytes; at most 10 are allowed"):
        FrameDecoder(max_frame_bytes=10).feed(b"\x00\x00\x00\x0b")


def test_frame_that_is_no_json() -> None:
    with pytest.raises(FrameError, match="not JSON"):
        FrameDecoder().feed(b"\x00\x00\x00\x03[1,")
    with pytest.raises(FrameError, match="not JSON"):
        FrameDecoder().feed(b"\x00\x00\x00\x02\xff\xfe")


def test_value_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameError, match="smaller batches"):
        encode_frame("x" * (64 * 1024 * 1024))


def test_frames_are_ascii() -> None:
    assert json.loads(encode_frame("ä中")[4:].decode("ascii")) == "ä中"
