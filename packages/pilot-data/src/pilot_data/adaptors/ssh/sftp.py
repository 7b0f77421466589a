"""The requests of SFTP. Each returns its `Reply` at once; paths are bytes, as servers have them."""

from __future__ import annotations

from . import sftp_wire as wire
from .connection import Channel
from .replies import Reply
from .sftp_channel import SftpChannel
from .sftp_wire import Kind, Limits, string, u32, u64

BLOCK = 255 << 10
"""Bytes in one request, at most: what OpenSSH takes, less room for the request itself."""

_FALLBACK = Limits(read=32 << 10, write=32 << 10, handles=100)
_COPY_DATA = "copy-data"
_EXPAND = "expand-path@openssh.com"
_FSYNC = "fsync@openssh.com"
_LIMITS = "limits@openssh.com"
_POSIX_RENAME = "posix-rename@openssh.com"
_ROOM = "statvfs@openssh.com"


class Sftp(SftpChannel):
    """An SFTP server.

    Args:
        channel: Of the subsystem.
        host: How the server is called in errors.

    Attributes:
        limits: What it takes in one request, and how many files may be open.
    """

    def __init__(self, channel: Channel, host: str) -> None:
        super().__init__(channel, host)
        self._extensions = wire.extensions(self.greeting)
        self.limits = self._limits()

    @property
    def copies_data(self) -> bool:
        """Whether it copies from file to file by itself."""
        return _COPY_DATA in self._extensions

    @property
    def renames_over(self) -> bool:
        """Whether it can rename a file to the name of another, which is replaced."""
        return _POSIX_RENAME in self._extensions

    @property
    def syncs(self) -> bool:
        """Whether it can flush a file to the disk."""
        return _FSYNC in self._extensions

    @property
    def tells_room(self) -> bool:
        """Whether it says how much room there is."""
        return _ROOM in self._extensions

    @property
    def expands(self) -> bool:
        """Whether it knows the homes of others."""
        return _EXPAND in self._extensions

    def answer(self, reply: Reply) -> Reply:
        """Wait for one answer. Only when no other is waited for."""
        self.flush()
        while not reply.kind:
            self.receive()
        return reply

    def open(self, path: bytes, flags: int, mode: int | None = None) -> Reply:
        """Open a file; answered by a handle."""
        return self.ask(Kind.OPEN, string(path), u32(flags), wire.attributes(mode=mode))

    def close_handle(self, handle: bytes) -> Reply:
        """Close a file or a folder."""
        return self.ask(Kind.CLOSE, string(handle))

    def read(self, handle: bytes, offset: int, count: int) -> Reply:
        """Read a part of a file."""
        return self.ask(Kind.READ, string(handle), wire.place(offset, count))

    def write(self, handle: bytes, offset: int, data: wire.Buffer) -> Reply:
        """Write a part of a file."""
        return self.ask(Kind.WRITE, string(handle) + wire.place(offset, len(data)), data)

    def stat(self, path: bytes) -> Reply:
        """Ask what a path leads to."""
        return self.ask(Kind.STAT, string(path))

    def lstat(self, path: bytes) -> Reply:
        """Ask what a path is."""
        return self.ask(Kind.LSTAT, string(path))

    def fstat(self, handle: bytes) -> Reply:
        """Ask what an open file is."""
        return self.ask(Kind.FSTAT, string(handle))

    def fsetstat(self, handle: bytes, attributes: bytes) -> Reply:
        """Set what `sftp_wire.attributes` returned."""
        return self.ask(Kind.FSETSTAT, string(handle), attributes)

    def open_folder(self, path: bytes) -> Reply:
        """Open a folder; answered by a handle."""
        return self.ask(Kind.OPENDIR, string(path))

    def read_folder(self, handle: bytes) -> Reply:
        """Read some more of a folder; answered by names, or by `Status.EOF`."""
        return self.ask(Kind.READDIR, string(handle))

    def make_folder(self, path: bytes) -> Reply:
        """Make a folder."""
        return self.ask(Kind.MKDIR, string(path), wire.attributes())

    def remove_folder(self, path: bytes) -> Reply:
        """Remove a folder that is empty."""
        return self.ask(Kind.RMDIR, string(path))

    def remove(self, path: bytes) -> Reply:
        """Remove a file or a link."""
        return self.ask(Kind.REMOVE, string(path))

    def rename(self, old: bytes, new: bytes) -> Reply:
        """Rename, over what has the name if the server can; see `renames_over`."""
        if self.renames_over:
            return self._extended(_POSIX_RENAME, string(old), string(new))
        return self.ask(Kind.RENAME, string(old), string(new))

    def read_link(self, path: bytes) -> Reply:
        """Ask where a symbolic link points; answered by one name."""
        return self.ask(Kind.READLINK, string(path))

    def make_link(self, path: bytes, target: bytes) -> Reply:
        """Make a symbolic link. OpenSSH has the two in the order that the draft has not, and all others followed it."""
        return self.ask(Kind.SYMLINK, string(target), string(path))

    def absolute(self, path: bytes) -> Reply:
        """Ask for the absolute path of one that begins at the home; answered by one name."""
        return self.ask(Kind.REALPATH, string(path))

    def expanded(self, path: bytes) -> Reply:
        """Ask for the absolute path of one that begins with ``~``; answered by one name. See `expands`."""
        return self._extended(_EXPAND, string(path))

    def sync(self, handle: bytes) -> Reply:
        """Flush a file to the disk; see `syncs`."""
        return self._extended(_FSYNC, string(handle))

    def room(self, path: bytes) -> Reply:
        """Ask for the room on a file system; see `tells_room` and `sftp_wire.room`."""
        return self._extended(_ROOM, string(path))

    def copy(self, source: bytes, target: bytes) -> Reply:
        """Copy the whole of one open file to another; see `copies_data`."""
        whole = u64(0) + u64(0)
        return self._extended(_COPY_DATA, string(source), whole, string(target), u64(0))

    def _extended(self, name: str, *fields: bytes) -> Reply:
        return self.ask(Kind.EXTENDED, string(name.encode()), *fields)

    def _limits(self) -> Limits:
        if _LIMITS not in self._extensions:
            return _FALLBACK
        reply = self.answer(self._extended(_LIMITS))
        if reply.kind != Kind.EXTENDED_REPLY:
            return _FALLBACK
        told = wire.limits(reply.body, _FALLBACK)
        return Limits(min(told.read, BLOCK), min(told.write, BLOCK), told.handles)
