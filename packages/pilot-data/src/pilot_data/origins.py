"""Where the files of a data unit come from: what a user named, or a replica."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from pilot_protocol.data_records import FileRecord
from pilot_protocol.errors import DescriptionError

from .catalogue import PilotDataRecord
from .entries import Entry, Item
from .locations import Location
from .plan import make_plan
from .replicas import access_of, open_with_bundles, place_of
from .sources import Source, items_of, source_of
from .storage import EVERYTHING, Access, Storage


@dataclass(frozen=True)
class Lot:
    """Files of one root.

    Attributes:
        root: What they are below.
        items: From there to their places in the data unit.
        access: How the root is entered.
    """

    root: Location
    items: tuple[Item, ...]
    access: Access = field(default_factory=Access)

    def open(self) -> Storage:
        """Return the storage that they are in."""
        return open_with_bundles(self.root, self.access)


def lots_of(file_urls: Sequence[str]) -> list[Lot]:
    """Return what a user named; a file that is named twice comes once.

    Args:
        file_urls: Files, folders and patterns, see `sources.source_of`.

    Raises:
        DescriptionError: One is no URL, or two files would have the same name.
        TransferError: One is not there, cannot be read, or is a link that leads to no file.
    """
    sources = [source_of(text, f"file_urls[{number}]") for number, text in enumerate(file_urls)]
    found: dict[Location, list[Item]] = {}
    for root, item in _single(_items(sources)):
        found.setdefault(root, []).append(item)
    plan = make_plan([item for items in found.values() for item in items], {}, EVERYTHING)
    for outcome in plan.refused:
        if outcome.error is not None:
            raise outcome.error
    fitted = {item.target: item for item in plan.items}
    return [Lot(root, tuple(fitted[item.target] for item in items)) for root, items in found.items()]


def _items(sources: Iterable[Source]) -> Iterator[tuple[Location, Item]]:
    """Yield what there is, with its root; each root is opened once."""
    with ExitStack() as opened:
        storages: dict[Location, Storage] = {}
        for source in sources:
            if source.root not in storages:
                storages[source.root] = opened.enter_context(closing(open_with_bundles(source.root)))
            for item in items_of(source, storages[source.root]):
                yield source.root, item


def _single(items: Iterable[tuple[Location, Item]]) -> Iterator[tuple[Location, Item]]:
    """Yield each file once.

    Raises:
        DescriptionError: Two different files would have the same name.
    """
    places: dict[str, tuple[Location, str]] = {}
    for root, item in items:
        place = (root, item.entry.path)
        other = places.setdefault(item.target, place)
        if other is place:
            yield root, item
        elif other != place:
            raise DescriptionError(
                f"two files would be {item.target!r}: {_told(other)} and {_told(place)}; name a folder above both, or "
                "rename one",
                key="file_urls",
                value=item.target,
            )


def _told(place: tuple[Location, str]) -> str:
    root, path = place
    return str(root.joined(path))


def lot_of_replica(record: PilotDataRecord, data_unit: str, files: Iterable[FileRecord]) -> Lot:
    """Return files of a data unit as they lie at a Pilot-Data."""
    items = tuple(Item(entry_of(file), file.path) for file in files)
    return Lot(place_of(record, data_unit), items, access_of(record))


def record_of(item: Item, part: int, checksum: str = "") -> FileRecord:
    """Return what is kept of a file that comes to a data unit."""
    entry = item.entry
    return FileRecord(
        item.target,
        entry.size,
        entry.mtime_ns,
        entry.mode,
        checksum or entry.checksum,
        entry.link,
        entry.is_folder,
        part,
    )


def entry_of(file: FileRecord) -> Entry:
    """Return a file of a data unit as one of a storage."""
    return Entry(
        file.path,
        file.size,
        file.mtime_ns,
        file.mode,
        file.link,
        is_folder=file.is_folder,
        checksum=file.checksum,
    )
