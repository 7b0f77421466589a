"""Lists folders of a host, several at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from stat import S_IMODE
from typing import NamedTuple

from pilot_data.entries import Entry, is_listed
from pilot_data.errors import MissingFileError

from . import pipeline
from . import sftp_wire as wire
from .problems import checked, code_of
from .replies import Reply
from .session import Session, decoded
from .sftp_wire import Attributes, Kind, Status

_FOLDERS_AT_ONCE = 32
_READS = 16


class Found(NamedTuple):
    """Something in a folder.

    Attributes:
        path: Below the root of the storage.
        attributes: Of itself, not of what it leads to.
    """

    path: str
    attributes: Attributes


class Folder(NamedTuple):
    """A folder that was read.

    Attributes:
        path: Below the root of the storage; empty for the root.
        attributes: Its own.
        children: What it holds.
    """

    path: str
    attributes: Attributes
    children: tuple[Found, ...]


class Listing:
    """Reads what is at a host.

    Args:
        session: Of the host.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sftp = session.sftp

    def entries(self, paths: Sequence[str]) -> Iterator[Entry]:
        """Yield files, links and empty folders at and below these paths; see `Storage.list`."""
        for path in paths:
            found = self._session.run_one(self._at(path))
            if found.attributes.is_folder:
                for folder in self.folders(found):
                    yield from self._of(folder)
                continue
            if not path:
                raise MissingFileError(
                    f"{self._session.shown(self._session.path(''))} is a file; name it by the folder above it"
                )
            yield from self._files([found])

    def folders(self, top: Found) -> Iterator[Folder]:
        """Yield a folder and all below it; each before those that it holds."""
        waiting = [top]
        while waiting:
            # The last ones first: memory follows the depth.
            now, waiting = waiting[-_FOLDERS_AT_ONCE:], waiting[:-_FOLDERS_AT_ONCE]
            for folder in self._session.run(pipeline.Job(self._read(found)) for found in now):
                if folder is not None:
                    waiting += [child for child in folder.children if child.attributes.is_folder]
                    yield folder

    async def top(self) -> Found | None:
        """Return what is at the root, itself and not what it leads to; None where nothing is."""
        path = self._session.path("")
        reply = await self._sftp.lstat(path)
        if code_of(reply) == Status.NO_SUCH_FILE:
            return None
        return Found(
            "", wire.Reader(checked(reply, f"cannot read {self._session.shown(path)}").body).attributes()
        )

    async def _at(self, path: str) -> Found:
        full = self._session.path(path)
        # The root itself may be a link: it is where files are, not one of them.
        asked = self._sftp.lstat(full) if path else self._sftp.stat(full)
        return Found(path, await self._session.attributes(asked, "read", full))

    async def _read(self, top: Found) -> Folder | None:
        full = self._session.path(top.path)
        reply = await self._sftp.open_folder(full)
        if code_of(reply) == Status.NO_SUCH_FILE and top.path:
            return None  # removed since it was seen
        what = f"cannot read {self._session.shown(full)}"
        handle = wire.Reader(checked(reply, what).body).string()
        children: list[Found] = []
        reads, at_end = 2, False
        while not at_end:
            for asked in [self._sftp.read_folder(handle) for _ in range(reads)]:
                at_end |= self._take(await asked, what, top.path, children)
            reads = min(2 * reads, _READS)
        self._sftp.close_handle(handle)
        return Folder(top.path, top.attributes, tuple(sorted(children)))

    @staticmethod
    def _take(reply: Reply, what: str, folder: str, children: list[Found]) -> bool:
        """Note names that have come; return whether there are no more."""
        if code_of(reply) == Status.EOF:
            return True
        for name, attributes in wire.names(checked(reply, what).body):
            if name not in {b".", b".."}:
                text = decoded(name)
                children.append(Found(f"{folder}/{text}" if folder else text, attributes))
        return False

    def _of(self, folder: Folder) -> Iterator[Entry]:
        if folder.path and not folder.children:
            yield Entry(folder.path, is_folder=True, mode=S_IMODE(folder.attributes.mode or 0))
        yield from self._files([child for child in folder.children if not child.attributes.is_folder])

    def _files(self, found: list[Found]) -> Iterator[Entry]:
        """Yield files and links; sockets, pipes and devices have no content to move."""
        links = [each for each in found if each.attributes.is_link]
        for each in found:
            if each.attributes.is_file and is_listed(each.path):
                yield _entry(each.path, each.attributes)
        if links:
            yield from self._session.run(
                pipeline.Job(self._link(each)) for each in links if is_listed(each.path)
            )

    async def _link(self, found: Found) -> Entry:
        full = self._session.path(found.path)
        asked, behind = self._sftp.read_link(full), self._sftp.stat(full)
        reply = await self._session.ok(asked, "read the link", full)
        link = decoded(next(iter(wire.names(reply.body)))[0])
        target = await behind
        attributes = wire.Reader(target.body).attributes() if target.kind == Kind.ATTRS else None
        if attributes is None or not attributes.is_file:  # it leads nowhere, or to no file
            return Entry(
                found.path,
                mtime_ns=found.attributes.mtime_ns,
                link=link,
                is_broken=True,
                mode=S_IMODE(found.attributes.mode or 0),
            )
        return _entry(found.path, attributes, link)


def _entry(path: str, attributes: Attributes, link: str = "") -> Entry:
    return Entry(
        path,
        size=attributes.size or 0,
        mtime_ns=attributes.mtime_ns,
        mode=S_IMODE(attributes.mode or 0),
        link=link,
    )
