"""What stands between a head and whoever else can reach its port."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_agent.node.frames import MAX_FRAME_BYTES, FrameError, Framing
from pilot_agent.node.handshake import (
    ANSWER_BYTES,
    HELLO_BYTES,
    PROOF_BYTES,
    VERSION,
    HandshakeError,
    Head,
    Node,
    hello_of,
    link_key,
)
from pilot_agent.node.sealed_frames import SEAL_BYTES

KEY = link_key(b"k" * 32, "p-1")


class Met(NamedTuple):
    node: Framing
    head: Framing


def meet(number: int = 0) -> Met:
    """Let a node and a head with the same key meet for the how many-th time."""
    node = Node(KEY, hello_of(bytes([number]) * 32))
    head, answer = Head.meet(KEY, node.hello, bytes([number + 100]) * 32)
    proof, framing = node.prove(answer)
    assert (len(node.hello), len(answer), len(proof)) == (HELLO_BYTES, ANSWER_BYTES, PROOF_BYTES)
    return Met(framing, head.admit(proof))


def test_what_one_end_says_the_other_understands() -> None:
    met = meet()
    data = met.node.wrap('["hello",{}]') + met.node.wrap("[1]")
    assert met.head.feed(data[:7]) == []
    assert met.head.feed(data[7:]) == [["hello", {}], [1]]
    assert met.node.feed(met.head.wrap('"stop"')) == ["stop"]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5), st.data())
def test_any_changed_bit_ends_the_connection(texts: list[str], data: st.DataObject) -> None:
    met = meet()
    stream = bytearray(b"".join(met.node.wrap(json.dumps(text)) for text in texts))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] ^= 1 << data.draw(st.integers(0, 7))
    heard: list[object] = []
    try:
        heard += met.head.feed(bytes(stream))
    except FrameError:
        return
    # A longer frame was announced: it is waited for, and nothing that was changed has been taken in.
    assert heard == texts[: len(heard)]
    assert len(heard) < len(texts)


def test_a_frame_that_is_sent_again_ends_the_connection() -> None:
    met = meet()
    frame = met.node.wrap('["events",{}]')
    assert met.head.feed(frame) == [["events", {}]]
    with pytest.raises(FrameError, match="frame 1 of the connection was not sealed by its peer"):
        met.head.feed(frame)


def test_frames_in_another_order_end_the_connection() -> None:
    met = meet()
    first, second = met.node.wrap("1"), met.node.wrap("2")
    with pytest.raises(FrameError, match="frame 0"):
        met.head.feed(second + first)


def test_a_frame_that_is_left_out_ends_the_connection() -> None:
    met = meet()
    first, _, third = (met.node.wrap(text) for text in "123")
    with pytest.raises(FrameError, match="frame 1"):
        met.head.feed(first + third)


def test_a_frame_that_is_sent_back_ends_the_connection() -> None:
    met = meet()
    with pytest.raises(FrameError, match="frame 0"):
        met.node.feed(met.node.wrap("1"))


def test_a_frame_of_another_connection_ends_the_connection() -> None:
    first, second = meet(1), meet(2)
    with pytest.raises(FrameError, match="frame 0"):
        second.head.feed(first.node.wrap("1"))


def test_half_a_frame_is_nothing_yet() -> None:
    met = meet()
    frame = met.node.wrap('"text"')
    assert met.head.feed(frame[:-SEAL_BYTES]) == []
    assert met.head.feed(frame[-SEAL_BYTES:-1]) == []
    assert met.head.feed(frame[-1:]) == ["text"]


def test_a_length_that_nobody_means_ends_the_connection_before_it_is_waited_for() -> None:
    with pytest.raises(FrameError, match="peer announced a frame of"):
        meet().head.feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))


def test_a_node_with_another_key_is_not_admitted() -> None:
    node = Node(link_key(b"k" * 32, "p-2"), hello_of(b"n" * 32))
    head, answer = Head.meet(KEY, node.hello, b"h" * 32)
    with pytest.raises(HandshakeError, match="the head has another key"):
        node.prove(answer)
    with pytest.raises(HandshakeError, match="the node has another key"):
        head.admit(b"p" * PROOF_BYTES)


def test_a_proof_serves_one_connection_only() -> None:
    node = Node(KEY, hello_of(b"n" * 32))
    _, answer = Head.meet(KEY, node.hello, b"h" * 32)
    proof, _ = node.prove(answer)
    again, _ = Head.meet(KEY, node.hello, b"i" * 32)
    with pytest.raises(HandshakeError):
        again.admit(proof)


def test_the_proof_of_one_end_is_none_of_the_other() -> None:
    node = Node(KEY, hello_of(b"n" * 32))
    head, answer = Head.meet(KEY, node.hello, b"h" * 32)
    with pytest.raises(HandshakeError):
        head.admit(answer[HELLO_BYTES:])


def test_another_version_is_named() -> None:
    hello = bytearray(hello_of(b"n" * 32))
    hello[11] = VERSION + 1
    with pytest.raises(
        HandshakeError,
        match=f"the node speaks version {VERSION + 1} of the handshake, this end version {VERSION}",
    ):
        Head.meet(KEY, bytes(hello), b"h" * 32)


@pytest.mark.parametrize(
    "came", [b"", b"GET / HTTP/1.1\r\n\r\n", hello_of(b"n" * 32)[:-1], b"x" * HELLO_BYTES]
)
def test_a_stranger_is_told_apart(came: bytes) -> None:
    with pytest.raises(HandshakeError, match="not from a node of a pilot"):
        Head.meet(KEY, came, b"h" * 32)


def test_an_answer_that_was_cut_off_is_none() -> None:
    node = Node(KEY, hello_of(b"n" * 32))
    _, answer = Head.meet(KEY, node.hello, b"h" * 32)
    with pytest.raises(HandshakeError):
        node.prove(answer[:-1])
