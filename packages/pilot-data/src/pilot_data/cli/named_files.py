"""What a user names to be listed, added up or removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pilot_data.registry import open_storage
from pilot_data.sources import Source, source_of
from pilot_data.storage import Access, Storage


@contextmanager
def named(text: str, access: Access) -> Iterator[tuple[Source, Storage]]:
    """Open what a text of the user names, and close it.

    Raises:
        DescriptionError: It is no place.
    """
    source = source_of(text)
    storage = open_storage(source.root, access)
    try:
        yield source, storage
    finally:
        storage.close()


def below(source: Source, path: str) -> str:
    """Return a path without that of the folder that was named; a named file keeps its name."""
    if not source.path or path == source.path:
        return path
    return path[len(source.path) + 1 :]
