"""Makes the folders that files at a host need."""

from __future__ import annotations

from collections.abc import Iterable

from . import pipeline
from .problems import checked, code_of
from .replies import Reply
from .session import Session, encoded
from .sftp_wire import Kind, Status


class Folders:
    """Folders of a host.

    Args:
        session: Of the host.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sftp = session.sftp
        self._refused: dict[str, Reply] = {}

    def make(self, paths: Iterable[str]) -> None:
        """Make the root, and all folders above files; those that cannot be made are told of by `need_above`.

        Args:
            paths: Of files, below the root.

        Raises:
            TransferError: The root cannot be made.
        """
        self._session.run_one(self._make_root())
        folders = {folder for path in paths for folder in _above(path)}
        levels: dict[int, list[str]] = {}
        for folder in folders:
            levels.setdefault(folder.count("/"), []).append(folder)
        for level in sorted(levels):
            for _ in self._session.run(pipeline.Job(self._make(folder)) for folder in levels[level]):
                pass

    async def need(self, path: str) -> None:
        """Make one folder, unless it is there.

        Raises:
            TransferError: It cannot be made.
        """
        full = self._session.path(path)
        reply = await self._sftp.make_folder(full)
        if code_of(reply) == Status.OK:
            return
        found = await self._sftp.stat(full)
        if found.kind != Kind.ATTRS:
            checked(reply, f"cannot make the folder {self._session.shown(full)}")

    async def need_above(self, path: str) -> None:
        """Go on if the folder above a file could be made.

        Raises:
            TransferError: It could not.
        """
        folder = path.rpartition("/")[0]
        refused = self._refused.get(folder)
        if refused is not None:
            await self.need(folder)

    async def _make(self, folder: str) -> None:
        full = encoded(f"{self._session.root.rstrip('/')}/{folder}")
        reply = await self._sftp.make_folder(full)
        if code_of(reply) not in {
            Status.OK,
            Status.FAILURE,
        }:  # a failure is what is said of one that is there
            self._refused[folder] = reply

    async def _make_root(self) -> None:
        root = self._session.root
        if (await self._sftp.stat(encoded(root))).kind == Kind.ATTRS:
            return
        for end in (at for at, letter in enumerate(root) if letter == "/" and at):
            await self._sftp.make_folder(encoded(root[:end]))
        path = encoded(root)
        reply = await self._sftp.make_folder(path)
        if (await self._sftp.stat(path)).kind != Kind.ATTRS:
            checked(reply, f"cannot make the folder {self._session.shown(path)}")


def _above(path: str) -> Iterable[str]:
    """Yield the folders above a file that are proper names; others are refused when the file is put."""
    parts = path.split("/")[:-1]
    if all(part not in {"", ".", ".."} for part in parts):
        yield from ("/".join(parts[: end + 1]) for end in range(len(parts)))
