"""SFTP version 3 as bytes (draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for its extensions). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import NamedTuple

VERSION = 3


class Kind(IntEnum):
    """What a packet is."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(IntEnum):
    """What a server answers to a request that returns nothing."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8


READING = 0x01
WRITING = 0x02
CREATING = 0x08

_SIZE = 0x01
_OWNER = 0x02
_MODE = 0x04
_TIMES = 0x08
_EXTENDED = 0x80000000
_LATEST = 0xFFFFFFFF
_NS = 10**9

_u32 = struct.Struct(">I")
_u64 = struct.Struct(">Q")
_two_u32 = struct.Struct(">II")
_head = struct.Struct(">IBI")
_place = struct.Struct(">QI")

Buffer = bytes | memoryview


class Attributes(NamedTuple):
    """What a server says of a file; None for what it does not say.

    Attributes:
        size: Bytes.
        mode: Kind of file and permission bits, as in ``st_mode``.
        mtime_s: When its content last changed, whole seconds since 1970.
    """

    size: int | None = None
    mode: int | None = None
    mtime_s: int | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.mode is not None and S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode is not None and S_ISLNK(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file; what a server does not say the kind of counts as one."""
        return self.mode is None or S_ISREG(self.mode)

    @property
    def mtime_ns(self) -> int:
        """When its content last changed, nanoseconds since 1970; 0 when it is not known."""
        return (self.mtime_s or 0) * _NS


class Limits(NamedTuple):
    """What a server takes at most, in bytes; see ``limits@openssh.com``."""

    read: int
    write: int
    handles: int


def head(kind: Kind, number: int, length: int) -> bytes:
    """Return how a packet begins.

    Args:
        kind: Of the packet.
        number: Of the request.
        length: Bytes of all that follows.
    """
    return _head.pack(length + 5, kind, number)


def u32(number: int) -> bytes:
    """Return a number of 32 bits."""
    return _u32.pack(number)


def u64(number: int) -> bytes:
    """Return a number of 64 bits."""
    return _u64.pack(number)


def string(value: bytes) -> bytes:
    """Return bytes with their length before them."""
    return _u32.pack(len(value)) + value


def place(offset: int, count: int) -> bytes:
    """Return a part of a file."""
    return _place.pack(offset, count)


def attributes(size: int | None = None, mode: int | None = None, mtime_ns: int = 0) -> bytes:
    """Return attributes to be set.

    Args:
        size: Bytes; None to leave it.
        mode: Permission bits; None to leave them.
        mtime_ns: Nanoseconds since 1970, of which version 3 keeps the whole seconds up to 2106; 0 to leave it.
    """
    flags, fields = 0, b""
    if size is not None:
        flags |= _SIZE
        fields += _u64.pack(size)
    if mode is not None:
        flags |= _MODE
        fields += _u32.pack(mode)
    if mtime_ns:
        flags |= _TIMES
        seconds = min(max(mtime_ns // _NS, 0), _LATEST)
        fields += _two_u32.pack(seconds, seconds)
    return _u32.pack(flags) + fields


class Reader:
    """Reads the fields of a packet one after the other.

    Args:
        body: What follows the packet's number.

    Raises:
        ValueError: From all methods, when the packet is too short.
    """

    def __init__(self, body: Buffer) -> None:
        self._body = bytes(body)
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all is read."""
        return self._at >= len(self._body)

    def u32(self) -> int:
        """Read a number of 32 bits."""
        return int(_u32.unpack(self._take(4))[0])

    def u64(self) -> int:
        """Read a number of 64 bits."""
        return int(_u64.unpack(self._take(8))[0])

    def string(self) -> bytes:
        """Read bytes with their length before them."""
        return self._take(self.u32())

    def attributes(self) -> Attributes:
        """Read attributes."""
        flags = self.u32()
        size = self.u64() if flags & _SIZE else None
        if flags & _OWNER:
            self._take(8)
        mode = self.u32() if flags & _MODE else None
        mtime_s = None
        if flags & _TIMES:
            _atime_s, mtime_s = _two_u32.unpack(self._take(8))
        if flags & _EXTENDED:
            for _ in range(self.u32()):
                self.string()
                self.string()
        return Attributes(size, mode, mtime_s)

    def _take(self, count: int) -> bytes:
        data = self._body[self._at : self._at + count]
        if len(data) < count:
            raise ValueError(f"an SFTP packet ends {count - len(data)} bytes too early")
        self._at += count
        return data


def status_code(body: Buffer) -> int:
    """Return the code of a ``STATUS``."""
    return int(_u32.unpack_from(body)[0])


def status(body: Buffer) -> tuple[int, str]:
    """Return the code of a ``STATUS``, and the server's words."""
    reader = Reader(body)
    code = reader.u32()
    return code, "" if reader.is_at_end else reader.string().decode("utf-8", "replace")


def names(body: Buffer) -> Iterator[tuple[bytes, Attributes]]:
    """Yield the names of a ``NAME`` with what is said of them."""
    reader = Reader(body)
    for _ in range(reader.u32()):
        name = reader.string()
        reader.string()  # a line as `ls -l` prints it
        yield name, reader.attributes()


def extensions(body: Buffer) -> dict[str, bytes]:
    """Return the extensions that a server names in its ``VERSION``, with their versions."""
    reader = Reader(body)
    found = {}
    while not reader.is_at_end:
        name = reader.string().decode("utf-8", "replace")
        found[name] = reader.string()
    return found


def limits(body: Buffer, fallback: Limits) -> Limits:
    """Return what ``limits@openssh.com`` answers; a zero there means that the server does not say."""
    reader = Reader(body)
    _packet, read, write, handles = reader.u64(), reader.u64(), reader.u64(), reader.u64()
    return Limits(read or fallback.read, write or fallback.write, handles or fallback.handles)


class Room(NamedTuple):
    """What ``statvfs@openssh.com`` says of a file system: bytes, and files, that a plain user may still make."""

    free_bytes: int
    free_files: int | None


def room(body: Buffer) -> Room:
    """Return the answer to ``statvfs@openssh.com``."""
    reader = Reader(body)
    _block, fragment, _blocks, _free, available, files, _free_files, available_files = (
        reader.u64() for _ in range(8)
    )
    # File systems that make inodes as they need them say that there are none at all.
    return Room(available * fragment, available_files if files else None)


def data(body: Buffer) -> Buffer:
    """Return what a ``DATA`` holds, without copying it."""
    return body[4:]
