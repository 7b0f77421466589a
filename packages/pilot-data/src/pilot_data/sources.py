"""What a user names to be copied: files, folders and patterns at any storage, and the names that they get elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .entries import Entry, Item
from .errors import MissingFileError
from .locations import Location, parse
from .patterns import is_pattern, matches, split
from .storage import Storage


@dataclass(frozen=True)
class Source:
    """Files below one root.

    Attributes:
        root: What is opened as a storage.
        path: Of the file or folder below it; empty for all that is below.
        pattern: What paths below the root have to match; empty for all of them.
        text: What the user named.
    """

    root: Location
    path: str = ""
    pattern: str = ""
    text: str = ""

    def entries(self, storage: Storage) -> Iterator[Entry]:
        """Yield what there is to copy, with paths below `root`.

        Raises:
            MissingFileError: Nothing is there, or nothing matches.
            TransferError: The storage cannot be read.
        """
        if not self.pattern:
            yield from storage.list([self.path])
            return
        found = False
        for entry in storage.list([self.path]):
            if matches(self.pattern, entry.path):
                found = True
                yield entry
        if not found:
            raise MissingFileError(f"nothing matches {self.text!r}")


def source_of(text: str, key: str = "url") -> Source:
    """Return what a text of the user names.

    A folder keeps its own name: ``/data/run`` gives ``run/…``; with a slash at the end, what it holds is meant without
    it. What matches a pattern keeps its path from the first folder that has a pattern in its name.

    Args:
        text: A path or URL. A local file whose name looks like a pattern is meant itself, if there is one.
        key: What the text is called in errors.

    Raises:
        DescriptionError: It is no URL.
    """
    location = parse(text, key)
    if is_pattern(location.path) and not (location.scheme == "file" and os.path.lexists(location.path)):
        head, pattern = split(location.path)
        return Source(replace(location, path=head), pattern=pattern, text=text)
    if text.endswith("/") or not location.name:
        return Source(location, text=text)
    return Source(location.parent, location.name, text=text)


def items_of(source: Source, storage: Storage) -> Iterator[Item]:
    """Yield what is to be copied, each to the path that it has below the source's root."""
    for entry in source.entries(storage):
        yield Item(entry, entry.path)
