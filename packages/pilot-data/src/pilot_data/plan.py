"""What has to move: the files of a source against those of a target. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pilot_protocol.errors import DescriptionError

from .entries import Entry, Item, Outcome
from .errors import MissingFileError, TransferError
from .storage import Capabilities

SECOND_NS = 10**9


@dataclass(frozen=True)
class Plan:
    """What a transfer has to do.

    Attributes:
        items: To be moved; links last, so that no file is written through one of them.
        unchanged: At the target already.
        extra: At the target only.
        refused: What cannot be moved, and why.
    """

    items: tuple[Item, ...] = ()
    unchanged: tuple[Item, ...] = ()
    extra: tuple[Entry, ...] = ()
    refused: tuple[Outcome, ...] = ()

    @property
    def bytes(self) -> int:
        """How many bytes are to be moved."""
        return sum(item.entry.bytes_to_move for item in self.items)


def in_the_way(plan: Plan) -> list[str]:
    """Return the paths of what is at the target only and has to go first: a file where a folder is wanted, or below one."""
    wanted = {item.target for item in (*plan.items, *plan.unchanged)}
    above = {folder for path in wanted for folder in folders_above(path)}
    return [
        entry.path
        for entry in plan.extra
        if entry.path in above or any(folder in wanted for folder in folders_above(entry.path))
    ]


def folders_above(path: str) -> Iterator[str]:
    """Yield the paths of the folders that a path is in, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


@dataclass
class _Sorting:
    """What `make_plan` has found so far."""

    items: list[Item] = field(default_factory=list)
    unchanged: list[Item] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)


def make_plan(
    wanted: Iterable[Item],
    present: Mapping[str, Entry],
    target: Capabilities,
) -> Plan:
    """Return what has to move.

    Args:
        wanted: All files of the source, to their places at the target.
        present: Files of the target by path; leave it empty to move everything.
        target: What the target keeps of files.

    Raises:
        DescriptionError: Two files would have one name at the target.
    """
    found = _Sorting()
    sources: dict[str, Entry] = {}
    for one in wanted:
        _check_single(one, sources)
        item = _fitted(one, target)
        if isinstance(item, TransferError):
            found.refused.append(Outcome(one, error=item))
        elif item is not None and _is_unchanged(item.entry, present.get(item.target), target):
            found.unchanged.append(item)
        elif item is not None:
            found.items.append(item)
    return Plan(
        items=tuple(sorted(found.items, key=lambda item: bool(item.entry.link))),
        unchanged=tuple(found.unchanged),
        extra=_extra(present, sources),
        refused=tuple(found.refused),
    )


def _extra(present: Mapping[str, Entry], sources: Mapping[str, Entry]) -> tuple[Entry, ...]:
    """Return what is at the target only, without empty folders that will get files."""
    extra = [entry for path, entry in present.items() if path not in sources]
    if not any(entry.is_folder for entry in extra):
        return tuple(extra)
    above = {folder for path in sources for folder in folders_above(path)}
    return tuple(entry for entry in extra if not (entry.is_folder and entry.path in above))


def _check_single(item: Item, sources: dict[str, Entry]) -> None:
    other = sources.setdefault(item.target, item.entry)
    if other is not item.entry:
        raise DescriptionError(
            f"two files would be {item.target!r}: {other.path!r} and {item.entry.path!r}; name the folder above both, "
            "or rename one",
            key="file_urls",
            value=item.target,
        )


def _fitted(item: Item, target: Capabilities) -> Item | TransferError | None:
    """Return an item as the target can keep it, why it cannot, or None for an empty folder where there are none."""
    entry = item.entry
    if entry.is_folder:
        return item if target.folders else None
    if entry.link and target.links:
        return item
    if entry.is_broken:
        return MissingFileError(
            f"{entry.path!r} is a link that leads to no file below what is copied; remove it, or copy what it leads to "
            "by its own name"
        )
    return replace(item, entry=replace(entry, link="")) if entry.link else item


def _is_unchanged(entry: Entry, other: Entry | None, target: Capabilities) -> bool:
    if other is None or entry.is_folder != other.is_folder or entry.link != other.link:
        return False
    if entry.is_folder or entry.link:
        return True
    if entry.size != other.size:
        return False
    if entry.checksum and other.checksum:
        return entry.checksum == other.checksum
    if target.mtimes:  # it has kept the time that the source told
        return entry.mtime_ns > 0 and same_time(entry.mtime_ns, other.mtime_ns)
    # It knows only when it got the file: one that is younger than its source has it whole.
    return other.mtime_ns >= entry.mtime_ns > 0


def same_time(one: int, other: int) -> bool:
    """Compare to the nanosecond, or to the second where one of two storages does not know more."""
    if one % SECOND_NS == 0 or other % SECOND_NS == 0:
        return one // SECOND_NS == other // SECOND_NS
    return one == other
