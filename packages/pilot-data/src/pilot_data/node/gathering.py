"""Which files of a compute unit's folder are its outputs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pilot_data.adaptors.file import FileStorage
from pilot_data.entries import MARKER_PREFIX, Entry
from pilot_data.errors import MissingFileError

from .choosing import is_meant, listed

_OF_DATA_UNIT = re.compile(r"(?P<root>.+)/du-[a-z2-7]{12}/.", re.DOTALL)


def outputs_in(storage: FileStorage, cache: str) -> list[Entry]:
    """Return what a unit can give: its files and empty folders, and links as the files that they lead to.

    A link to an input is none: the file is another data unit's. One that leads to no file, but to a folder or nowhere, is
    returned as a broken one.

    Args:
        storage: The unit's folder.
        cache: Folder of fetched inputs, absolute.

    Raises:
        TransferError: The folder cannot be read.
    """
    return list(_without_inputs(storage, _Inputs(cache)))


def _without_inputs(storage: FileStorage, inputs: _Inputs) -> Iterator[Entry]:
    for entry in storage.list():
        if not entry.link or entry.is_broken:
            yield entry
        elif not inputs.have(os.path.realpath(f"{storage.root}/{entry.path}")):
            yield replace(entry, link="")


class _Inputs:
    """Knows inputs by where they are: in the cache, or in a data unit's folder at a Pilot-Data, which is marked."""

    def __init__(self, cache: str) -> None:
        self._cache = f"{os.path.realpath(cache)}/"
        self._marked: dict[str, bool] = {}

    def have(self, path: str) -> bool:
        """Return whether a file is an input; the path has no links in it."""
        found = _OF_DATA_UNIT.match(path)
        return path.startswith(self._cache) or (found is not None and self._is_marked(found["root"]))

    def _is_marked(self, root: str) -> bool:
        if root not in self._marked:
            self._marked[root] = any(name.startswith(MARKER_PREFIX) for name in os.listdir(root))
        return self._marked[root]


def meant(entries: Sequence[Entry], patterns: Iterable[str], data_unit: str) -> list[Entry]:
    """Return the outputs that patterns mean, each once; broken links are left out. Pure.

    Args:
        entries: What `outputs_in` has found.
        patterns: See `choosing.is_meant`.
        data_unit: Where they go, for the error.

    Raises:
        MissingFileError: A pattern means none.
    """
    found: dict[str, Entry] = {}
    given = [entry for entry in entries if not entry.is_broken]
    for pattern in patterns:
        some = {entry.path: entry for entry in given if is_meant(pattern, entry.path)}
        if not some:
            raise MissingFileError(
                f"no output matches {pattern!r}, which is to go to data unit {data_unit}; there is "
                f"{listed(entry.path for entry in given)}{_left_out(entries)}"
            )
        found.update(some)
    return list(found.values())


def _left_out(entries: Sequence[Entry]) -> str:
    links = [entry.path for entry in entries if entry.is_broken]
    return f"; links that lead to no file are left out: {listed(links)}" if links else ""
