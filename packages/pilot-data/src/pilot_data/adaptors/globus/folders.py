"""What is at a collection now: folders, files, and names that change at once. One collection, paths as Globus has them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import globus_sdk

from pilot_data.entries import Entry
from pilot_data.errors import MissingFileError, TransferError
from pilot_data.local_files import below

from .connection import Connection
from .globus_errors import ExistsError

Found = dict[str, Any]
"""A file's document, as the service gives it."""

_PAGE = 100_000


class Folders:
    """A collection.

    Args:
        globus: The service.
        collection: Its id.
        root: The folder that paths are below.
    """

    def __init__(self, globus: Connection, collection: str, root: str) -> None:
        self._globus = globus
        self.collection = collection
        self.root = root

    def path_of(self, path: str) -> str:
        """Return what Globus calls a file.

        Args:
            path: Below the root; empty for the root itself.

        Raises:
            TransferError: It leads elsewhere, or Globus cannot name it.
        """
        if not path:
            return self.root
        full = below(self.root, path)
        if self.root == "/" and path.startswith("~"):
            raise TransferError(
                f"{path!r} would be in a home folder for Globus; name a folder below / as the root"
            )
        try:
            full.encode()
        except UnicodeEncodeError:
            raise TransferError(
                f"{path!r} has a name that is no UTF-8, which Globus cannot tell; rename it at its source"
            ) from None
        return full

    def children(self, path: str) -> list[Found]:
        """Return what a folder holds.

        Raises:
            MissingFileError: There is none.
            NotAFolderError: It is a file.
        """
        full = self.path_of(path)
        found: list[Found] = []

        def read(client: globus_sdk.TransferClient) -> list[Found]:
            page = client.operation_ls(
                self.collection, full, show_hidden=True, orderby="name", limit=_PAGE, offset=len(found)
            )
            return list(page["DATA"])

        while True:
            page = self._globus.call(self._failing("list", full), read)
            found += page
            if len(page) < _PAGE:
                return found

    def stat(self, path: str) -> Found:
        """Return what a file or folder is.

        Raises:
            MissingFileError: There is none.
        """
        full = self.path_of(path)
        answer = self._globus.call(
            self._failing("look at", full), lambda client: client.operation_stat(self.collection, full)
        )
        return dict(answer.data)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name.

        Raises:
            MissingFileError: There is none of the old name.
            ExistsError: There is one of the new name, and the collection does not replace it.
        """
        old_full, new_full = self.path_of(old), self.path_of(new)
        self._globus.call(
            self._failing("rename to", new_full),
            lambda client: client.operation_rename(self.collection, old_full, new_full),
        )

    def make(self, path: str) -> None:
        """Make a folder and those above it; one that is there is no error.

        Raises:
            ExistsError: There is a file of that name.
        """
        try:
            self._make(self.path_of(path))
        except ExistsError:
            if not is_folder(self.stat(path)):
                raise

    def _make(self, full: str) -> None:
        try:
            self._make_one(full)
        except MissingFileError:
            above_it = full.rpartition("/")[0]
            if not above_it:
                raise
            with suppress(ExistsError):  # somebody else has made it since
                self._make(above_it)
            self._make_one(full)

    def _make_one(self, full: str) -> None:
        self._globus.call(
            self._failing("make", full), lambda client: client.operation_mkdir(self.collection, full)
        )

    def _failing(self, doing: str, full: str) -> str:
        return f"cannot {doing} {full} at collection {self.collection}"


def entry_of(path: str, found: Found) -> Entry | None:
    """Return a file or a link; None for folders and for what has no content to move.

    Modes are left out: Globus shows them, and keeps none of them when it copies.

    Args:
        path: Below the root.
        found: Its document.
    """
    link = found.get("link_target") or ""
    is_file = found["type"] == "file"
    if not is_file and not link:
        return None
    return Entry(
        path,
        size=int(found["size"] or 0) if is_file else 0,
        mtime_ns=mtime_ns(found),
        link=link,
        is_broken=not is_file,
    )


def is_folder(found: Found) -> bool:
    """Return whether it is a folder, and not a link to one."""
    return bool(found["type"] == "dir" and not found.get("link_target"))


def above(paths: Sequence[str]) -> list[str]:
    """Return the folders that paths are in, each once, empty for the root; in the order of the paths."""
    return list(dict.fromkeys(path.rpartition("/")[0] for path in paths))


def mtime_ns(found: Found) -> int:
    """Return when a file's content last changed, nanoseconds since 1970 in whole seconds; 0 where nobody knows."""
    text = found.get("last_modified")
    return int(datetime.fromisoformat(text).timestamp()) * 10**9 if text else 0
