"""SFTP as bytes."""

from __future__ import annotations

import struct

import pytest

from pilot_data.adaptors.ssh import sftp_wire as wire
from pilot_data.adaptors.ssh.sftp_wire import Attributes, Kind, Limits, Reader, string, u32, u64


def test_a_packet_begins_with_the_length_of_what_follows() -> None:
    assert wire.head(Kind.CLOSE, 7, 10) == struct.pack(">IBI", 15, 4, 7)


def test_attributes_come_back_as_they_were_set() -> None:
    packed = wire.attributes(size=2**40, mode=0o640, mtime_ns=1_600_000_000_999_999_999)
    assert Reader(packed).attributes() == Attributes(2**40, 0o640, 1_600_000_000)


def test_what_is_left_as_it_is_is_not_sent() -> None:
    assert wire.attributes() == u32(0)


@pytest.mark.parametrize(("mtime_ns", "mtime_s"), [(-5 * 10**9, 0), (2**40 * 10**9, 2**32 - 1)])
def test_times_that_version_3_cannot_say_become_the_nearest(mtime_ns: int, mtime_s: int) -> None:
    assert Reader(wire.attributes(mtime_ns=mtime_ns)).attributes().mtime_s == mtime_s


def test_attributes_of_owners_and_of_extensions_are_skipped() -> None:
    flags = u32(0x80000000 | 0x1 | 0x2 | 0x4)
    packed = (
        flags + u64(5) + u32(1) + u32(2) + u32(0o100600) + u32(1) + string(b"acl") + string(b"x") + u32(9)
    )
    reader = Reader(packed)
    assert reader.attributes() == Attributes(5, 0o100600, None)
    assert reader.u32() == 9


def test_a_packet_that_is_too_short_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 bytes too early"):
        Reader(u32(4) + b"ab").string()


def test_names_are_bytes() -> None:
    body = u32(1) + string(b"latin-\xe9\n") + string(b"-rw-r--r-- 1 me") + wire.attributes(size=3)
    assert list(wire.names(body)) == [(b"latin-\xe9\n", Attributes(3))]


def test_a_status_may_come_without_words() -> None:
    assert wire.status(u32(2)) == (2, "")
    assert wire.status(u32(4) + string(b"Failure") + string(b"en")) == (4, "Failure")


def test_limits_that_a_server_does_not_say_are_those_of_all_servers() -> None:
    assert wire.limits(u64(0) + u64(261120) + u64(0) + u64(0), Limits(1, 2, 3)) == Limits(261120, 2, 3)


def test_room_counts_what_a_plain_user_may_take() -> None:
    fields = (4096, 1024, 100, 50, 40, 1000, 500, 400, 0, 0, 255)
    assert wire.room(b"".join(map(u64, fields))) == wire.Room(40 * 1024, 400)
    no_inodes = (4096, 4096, 100, 50, 40, 0, 0, 0, 0, 0, 255)
    assert wire.room(b"".join(map(u64, no_inodes))).free_files is None
