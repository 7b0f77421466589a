"""Files below folders of a collection, one question a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pilot_data.entries import Entry, is_listed
from pilot_data.errors import MissingFileError

from .folders import Folders, entry_of, is_folder
from .globus_errors import NotAFolderError


def listed(folders: Folders, paths: Sequence[str]) -> Iterator[Entry]:
    """Yield files, links and empty folders at and below paths; see `Storage.list`."""
    for path in paths:
        try:
            yield from _below(folders, path)
        except NotAFolderError:
            if not path:
                raise MissingFileError(
                    f"{folders.root} at collection {folders.collection} is a file; name it by the folder above it"
                ) from None
            entry = entry_of(path, folders.stat(path))
            if entry is not None:
                yield entry


def _below(folders: Folders, path: str) -> Iterator[Entry]:
    children = folders.children(path)
    if path and not children:
        yield Entry(path, is_folder=True)
    for found in children:
        child = f"{path}/{found['name']}" if path else str(found["name"])
        if is_folder(found):
            try:
                yield from _below(folders, child)
            except MissingFileError:  # removed since the folder was read
                continue
        elif is_listed(child):
            entry = entry_of(child, found)
            if entry is not None:
                yield entry
