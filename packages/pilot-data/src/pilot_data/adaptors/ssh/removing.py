"""Removes files and folders of a host, many at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from . import pipeline
from . import sftp_wire as wire
from .listing import Folder, Listing
from .problems import checked, code_of
from .session import Session
from .sftp_wire import Kind, Status


class Removing:
    """Removes what is at a host.

    Args:
        session: Of the host.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sftp = session.sftp

    def many(self, paths: Sequence[str]) -> None:
        """Remove files and links, and the folders below the root that are empty then; see `Storage.remove_many`."""
        self._all(self._file(self._session.path(path)) for path in paths)
        level = {folder for path in paths if (folder := path.rpartition("/")[0])}
        while level:
            deepest = max(folder.count("/") for folder in level)
            now = {folder for folder in level if folder.count("/") == deepest}
            removed = [
                path
                for path in self._session.run(pipeline.Job(self._empty_folder(path)) for path in now)
                if path
            ]
            level = (level - now) | {above for path in removed if (above := path.rpartition("/")[0])}

    def everything(self) -> None:
        """Remove the root with all that it holds; see `Storage.remove_all`."""
        listing = Listing(self._session)
        top = self._session.run_one(listing.top())
        if top is None:
            return
        if not top.attributes.is_folder:
            self._all([self._file(self._session.path(""))])
            return
        folders: list[str] = []
        for folder in listing.folders(top):
            folders.append(folder.path)
            self._all(self._file(self._session.path(path)) for path in _files(folder))
        for depth in sorted({_depth(path) for path in folders}, reverse=True):
            self._all(self._folder(self._session.path(path)) for path in folders if _depth(path) == depth)

    def _all(self, tasks: Iterable[pipeline.Task[None]]) -> None:
        for _ in self._session.run(pipeline.Job(task) for task in tasks):
            pass

    async def _file(self, path: bytes) -> None:
        reply = await self._sftp.remove(path)
        if code_of(reply) in {Status.OK, Status.NO_SUCH_FILE}:
            return
        found = await self._sftp.lstat(path)
        if found.kind == Kind.ATTRS and wire.Reader(found.body).attributes().is_folder:
            await self._sftp.remove_folder(path)  # one that holds something stays
            return
        checked(reply, f"cannot remove {self._session.shown(path)}")

    async def _folder(self, path: bytes) -> None:
        reply = await self._sftp.remove_folder(path)
        if code_of(reply) != Status.NO_SUCH_FILE:
            checked(reply, f"cannot remove {self._session.shown(path)}")

    async def _empty_folder(self, path: str) -> str:
        """Remove a folder if it is empty; return its path if it was."""
        reply = await self._sftp.remove_folder(self._session.path(path))
        return path if code_of(reply) == Status.OK else ""


def _files(folder: Folder) -> Iterator[str]:
    return (child.path for child in folder.children if not child.attributes.is_folder)


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0
