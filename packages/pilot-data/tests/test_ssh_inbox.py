"""What has come on an SSH channel: large messages one by one, small ones together."""

from __future__ import annotations

import threading

import pytest
from paramiko.buffered_pipe import PipeTimeout

from pilot_data.adaptors.ssh.builtin.inbox import Inbox


def fed(*messages: bytes) -> Inbox:
    inbox = Inbox()
    for message in messages:
        inbox.feed(message)
    return inbox


def test_small_messages_come_together_and_large_ones_alone() -> None:
    inbox = fed(b"ab", b"cd", b"efghij", b"k")
    assert [inbox.read(6), inbox.read(6), inbox.read(6)] == [b"abcd", b"efghij", b"k"]
    assert not inbox.read_ready()


def test_a_message_may_be_read_in_parts() -> None:
    inbox = fed(b"abcdef")
    assert [inbox.read(4), inbox.read(4)] == [b"abcd", b"ef"]


def test_what_has_come_before_the_end_is_given() -> None:
    inbox = fed(b"ab")
    inbox.close()
    assert [inbox.read(4), inbox.read(4)] == [b"ab", b""]


def test_reading_waits_for_a_message_as_long_as_it_may() -> None:
    inbox = Inbox()
    with pytest.raises(PipeTimeout):
        inbox.read(4, timeout=0.0)
    feeder = threading.Thread(target=inbox.feed, args=(b"ab",))
    feeder.start()
    assert inbox.read(4) == b"ab"
    feeder.join()
