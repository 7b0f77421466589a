"""Compares two folders, or two files, by their contents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from .entries import Entry, Item
from .errors import TransferError
from .job import Job
from .moving import RELAY_BYTES, batches, lots
from .spools import spool_folder
from .storage import EVERYTHING, Capabilities, Storage

BATCH = 1000


@dataclass(frozen=True)
class Difference:
    """Something that is not the same at two places.

    Attributes:
        path: Below both.
        what: ``missing`` at the target, ``extra`` there, or ``different``.
        detail: For people.
    """

    path: str
    what: str
    detail: str = ""


@dataclass(frozen=True)
class Side:
    """Files at one of two places that are compared.

    Attributes:
        storage: Where they are.
        entries: What was listed, by the name that it is compared under.
    """

    storage: Storage
    entries: Mapping[str, Entry]

    @property
    def capabilities(self) -> Capabilities:
        """What can be known of files there."""
        return self.storage.capabilities

    def checksums(self, names: Sequence[str], job: Job) -> dict[str, str]:
        """Return checksums of what is stored now by name; what cannot be read at its place is fetched and read here."""
        paths = {name: self.entries[name].path for name in names}
        found = self.storage.checksums(list(paths.values()), job)
        checksums = {name: found[path] for name, path in paths.items() if path in found}
        unknown = [Item(self.entries[name], name) for name in names if name not in checksums]
        for lot in lots(unknown, RELAY_BYTES):
            checksums |= _fetched(self.storage, lot, job)
        return checksums


@dataclass(frozen=True)
class Recorded:
    """Files as a catalogue knows them.

    Attributes:
        entries: By the name that each is compared under.
        capabilities: What can be known of them.
    """

    entries: Mapping[str, Entry]
    capabilities: ClassVar[Capabilities] = EVERYTHING

    def checksums(self, names: Sequence[str], _job: Job) -> dict[str, str]:
        """Return the checksums that are known, by name."""
        return {name: self.entries[name].checksum for name in names if self.entries[name].checksum}


Files = Side | Recorded


def differences(source: Files, target: Side, job: Job) -> Iterator[Difference]:
    """Yield what differs, in the order of names. Links are the same as what they lead to, if one place has no links.

    Of a recorded file without a checksum, the size is compared.

    Raises:
        TransferError: A storage cannot be read.
    """
    kinds = [side.capabilities for side in (source, target)]
    has_folders = all(kind.folders for kind in kinds)
    names = [
        name
        for name in sorted({*source.entries, *target.entries})
        if has_folders or not _either(source, target, name).is_folder
    ]
    for batch in batches(names, BATCH):
        job.check()
        yield from _compared(source, target, batch, job)


def _either(source: Files, target: Side, name: str) -> Entry:
    return source.entries.get(name) or target.entries[name]


def _compared(source: Files, target: Side, names: Sequence[str], job: Job) -> Iterator[Difference]:
    both = [name for name in names if name in source.entries and name in target.entries]
    alike = [name for name in both if not _fact(source, target, name)]
    contents = [name for name in alike if _have_contents(source.entries[name], target.entries[name])]
    ours = source.checksums(contents, job)
    theirs = target.checksums([name for name in contents if name in ours], job)
    for name in names:
        if name not in target.entries:
            yield Difference(name, "missing")
        elif name not in source.entries:
            yield Difference(name, "extra")
        elif fact := _fact(source, target, name):
            yield Difference(name, "different", fact)
        elif ours.get(name) != theirs.get(name):
            yield Difference(name, "different", f"SHA-256 {ours.get(name)} and {theirs.get(name)}")


def _have_contents(one: Entry, other: Entry) -> bool:
    return not (one.is_folder or (one.link and one.link == other.link))


def _fact(source: Files, target: Side, name: str) -> str:
    """Return what differs and can be seen without reading."""
    one, other = source.entries[name], target.entries[name]
    both_links = source.capabilities.links and target.capabilities.links
    if one.is_folder != other.is_folder:
        return "a folder and a file"
    if both_links and one.link and other.link and one.link != other.link:
        return f"links to {one.link!r} and to {other.link!r}"
    if one.is_broken != other.is_broken:
        return "a link to no file, and a file"
    if one.size != other.size and not (one.link and one.link == other.link):
        return f"{one.size} and {other.size} bytes"
    return ""


def _fetched(storage: Storage, lot: Sequence[Item], job: Job) -> dict[str, str]:
    names = {str(number): item.target for number, item in enumerate(lot)}
    items = [Item(item.entry, str(number)) for number, item in enumerate(lot)]
    checksums = {}
    with spool_folder() as spool:
        for outcome in storage.get_many(items, spool, job.unheard()):
            if outcome.error is not None:
                raise TransferError(f"cannot compare {names[outcome.item.target]!r}: {outcome.error}")
            checksums[names[outcome.item.target]] = outcome.checksum
    return checksums
