"""What a transfer has to do: looks at the sources and at the target, and plans what moves from each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pilot_protocol.errors import DescriptionError

from .destinations import Destination, destination_of
from .entries import Entry, Item
from .errors import MissingFileError
from .job import Job
from .locations import Location, parse
from .moving import present_at
from .plan import Plan, make_plan
from .registry import open_storage
from .sources import Source, items_of, source_of
from .storage import Access, Storage

MOST_LOOK_UPS = 16
"""Up to so many names are looked for at the target one by one; for more of them, the target is listed as a whole."""


@dataclass(frozen=True)
class Request:
    """What is to be copied.

    Attributes:
        sources: Paths, URLs and patterns.
        target: Path or URL.
        source_access: How the sources are entered.
        target_access: How the target is entered.
        only_changed: Whether files that are at the target already stay as they are.
        mirrors: Whether the target gets what the only source, a folder, holds; without the folder's name.
        deletes: Whether what the source does not have is removed at the target; with `mirrors` only.
        keeps_partial: Whether a canceled transfer leaves what has arrived of files, to go on with.
    """

    sources: tuple[str, ...]
    target: str
    source_access: Access = field(default_factory=Access)
    target_access: Access = field(default_factory=Access)
    only_changed: bool = False
    mirrors: bool = False
    deletes: bool = False
    keeps_partial: bool = False


@dataclass(frozen=True)
class Leg:
    """What moves from one source.

    Attributes:
        source: What the user named.
        origin: Where it is.
        target: Where it goes.
        plan: What has to move.
    """

    source: Source
    origin: Storage
    target: Storage
    plan: Plan


class OpenStorages:
    """Storages that were opened, one for each root."""

    def __init__(self) -> None:
        self._open: dict[tuple[Location, Access], Storage] = {}

    def at(self, location: Location, access: Access) -> Storage:
        """Return the storage at a location."""
        key = (location, access)
        if key not in self._open:
            self._open[key] = open_storage(location, access)
        return self._open[key]

    def close(self) -> None:
        """Let go of all connections."""
        for storage in self._open.values():
            storage.close()


def legs_of(
    request: Request, storages: OpenStorages, job: Job, present: Mapping[str, Entry] | None = None
) -> tuple[Leg, ...]:
    """Look what is there, and return what has to move from each source.

    Args:
        request: What is to be copied.
        storages: Opens them.
        job: Cancels the listing.
        present: What is at the target, if that is known; it is looked up otherwise.

    Raises:
        DescriptionError: The names of sources and target do not fit together.
        TransferError: A source is missing, or a storage cannot be read.
    """
    sources = _sources(request)

    def is_folder(location: Location) -> bool:
        return holds_files(storages.at(location, request.target_access))

    destination = destination_of(sources, request.target, is_folder)
    target = storages.at(destination.root, request.target_access)
    names = _Names()
    legs = []
    for source in sources:
        origin = storages.at(source.root, request.source_access)
        items = list(names.placed(source, destination, _checked(items_of(source, origin), job)))
        known = present if present is not None else _present(request, target, items)
        legs.append(Leg(source, origin, target, make_plan(items, known, target.capabilities)))
    return tuple(legs)


def holds_files(storage: Storage) -> bool:
    """Return whether a folder is at a storage's root; where there are no folders, whether something is below it.

    Raises:
        TransferError: The storage cannot be read.
    """
    try:
        next(storage.list(), None)
    except MissingFileError:
        return False
    return True


class _Names:
    """The names that are taken at the target by several sources."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[Location, str]] = {}

    def placed(self, source: Source, destination: Destination, items: Iterator[Item]) -> Iterator[Item]:
        """Yield items with their paths at the target, without those that were named before."""
        for item in items:
            placed = destination.placed(source, item)
            place = (source.root, item.entry.path)
            other = self._taken.setdefault(placed.target, place)
            if other is place:
                yield placed
            elif other != place:
                raise DescriptionError(
                    f"two files would be {placed.target!r}: {other[0].joined(other[1])} and "
                    f"{place[0].joined(place[1])}; name the folders above them, or rename one",
                    key="sources",
                    value=placed.target,
                )


def _sources(request: Request) -> Sequence[Source]:
    if not request.mirrors:
        return [source_of(text, "source") for text in request.sources]
    if len(request.sources) != 1:
        raise DescriptionError("a folder can be made the same as one other; name one source", key="sources")
    return [Source(parse(text, "source"), text=text) for text in request.sources]


def _checked(items: Iterator[Item], job: Job) -> Iterator[Item]:
    for item in items:
        job.check()
        yield item


def _present(request: Request, target: Storage, items: Sequence[Item]) -> dict[str, Entry]:
    if not request.only_changed:
        return {}
    tops = sorted({item.target.partition("/")[0] for item in items})
    if request.mirrors or len(tops) > MOST_LOOK_UPS:
        return present_at(target)
    return {path: entry for top in tops for path, entry in present_at(target, top).items()}
