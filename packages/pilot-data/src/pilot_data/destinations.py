"""Where sources land: the rules of ``cp -r``. Pure, but for one question to the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pilot_protocol.errors import DescriptionError

from .entries import Item
from .locations import Location, parse
from .sources import Source


@dataclass(frozen=True)
class Destination:
    """Where files land.

    Attributes:
        root: What is opened as a storage.
        name: Below it, in place of the path that the user named; empty to keep that path.
    """

    root: Location
    name: str = ""

    def placed(self, source: Source, item: Item) -> Item:
        """Return an item with its path at the target."""
        return replace(item, target=f"{self.name}{item.target[len(source.path) :]}") if self.name else item

    def of(self, source: Source) -> Location:
        """Return where a source as a whole lands."""
        return self.root.joined(self.name or source.path)


def destination_of(
    sources: Sequence[Source], text: str, is_folder: Callable[[Location], bool]
) -> Destination:
    """Return where sources land.

    In an existing folder, or one named with a slash at its end, they keep their names. Otherwise a single file or folder
    gets the target's name. What a folder holds, named with a slash at the source's end, lands in the target.

    Args:
        sources: At least one.
        text: The target, as the user names it.
        is_folder: Asked whether a folder is at the target.

    Raises:
        DescriptionError: Several sources have no folder to land in, or one would land on itself.
    """
    target = parse(text, "target")
    found = _destination(sources, target, text, is_folder)
    for source in sources:
        _check_apart(source, found)
    return found


def _destination(
    sources: Sequence[Source], target: Location, text: str, is_folder: Callable[[Location], bool]
) -> Destination:
    is_single = len(sources) == 1 and not sources[0].pattern
    if is_single and not sources[0].path:
        return Destination(target)
    if text.endswith("/") or not target.has_name or is_folder(target):
        return Destination(target)
    if is_single:
        return Destination(target.parent, target.name)
    raise DescriptionError(
        f"several sources need a folder, and {text!r} is none; to make it, write {text + '/'!r}",
        key="target",
        value=text,
    )


def _check_apart(source: Source, destination: Destination) -> None:
    here, there = source.location, destination.of(source)
    if source.pattern:
        here, there = source.root, destination.root
        is_same = here == there
    else:
        is_same = replace(here, path="") == replace(there, path="") and _is_at_or_below(there.path, here.path)
    if is_same:
        raise DescriptionError(
            f"{source.text!r} would be copied to itself, or to a folder in it: {there}; name another target",
            key="target",
            value=str(there),
        )


def _is_at_or_below(path: str, folder: str) -> bool:
    return path == folder or not folder or path.startswith(f"{folder.rstrip('/')}/")
