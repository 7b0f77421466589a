"""What a user names to be copied: files, folders and patterns at any storage, and the names that they get elsewhere."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .entries import Entry, Item
from .errors import MissingFileError
from .locations import Location, parse, path_begin
from .patterns import escaped, is_pattern, matches, split, top
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

    @property
    def location(self) -> Location:
        """The file or folder; the folder above the first pattern, if there is one."""
        return self.root.joined(self.path)

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

    def named(self, path: str) -> str:
        """Return the part of a path that the user named: the file, or the folder that it came with."""
        return top(self.pattern, path) if self.pattern else self.path


def source_of(text: str, key: str = "url") -> Source:
    """Return what a text of the user names.

    A folder keeps its own name: ``/data/run`` gives ``run/…``. With a slash at the end, or as ``.`` and ``..``, what it
    holds is meant without it. What matches a pattern keeps its path from the first folder that has a pattern in its name.

    Args:
        text: A path or URL. A local file whose name looks like a pattern is meant itself, if there is one; in a URL,
            ``%2A``, ``%3F`` and ``%5B`` stand for ``*``, ``?`` and ``[`` as themselves.
        key: What the text is called in errors.

    Raises:
        DescriptionError: It is no URL.
    """
    location = parse(text, key)
    begin = path_begin(text)
    if is_pattern(text[begin:]) and not _is_there(text, location):
        return _pattern_of(text, begin, key)
    if not location.has_name or text.rpartition("/")[2] in {"", ".", ".."}:
        return Source(location, text=text)
    return Source(location.parent, location.name, text=text)


def items_of(source: Source, storage: Storage) -> Iterator[Item]:
    """Yield what is to be copied, each to the path that it has below the source's root.

    Links that lead out of what the user named would lead elsewhere at the target: they are copied with their content.
    """
    for entry in source.entries(storage):
        stays = not entry.link or _stays_below(source.named(entry.path), entry)
        yield Item(entry if stays else replace(entry, link=""), entry.path)


def _is_there(text: str, location: Location) -> bool:
    return "://" not in text and os.path.lexists(location.path)


def _pattern_of(text: str, begin: int, key: str) -> Source:
    head, pattern = split(text[begin:])
    if not begin:  # a local path: nothing in it is encoded
        return Source(parse(head or ".", key), pattern=pattern, text=text)
    return Source(parse(text[:begin] + head, key), pattern=escaped(pattern), text=text)


def _stays_below(folder: str, entry: Entry) -> bool:
    if entry.link.startswith("/"):
        return False
    leads_to = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.link))
    if not folder:
        return leads_to != ".." and not leads_to.startswith("../")
    return leads_to == folder != entry.path or leads_to.startswith(f"{folder}/")
