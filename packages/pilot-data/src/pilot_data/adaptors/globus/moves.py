"""Files on their way between collections: one task for all, then each gets its name.

Globus writes a file under the name that it is told, while it moves it. So it is told the partial name, and the file is
renamed when Globus has compared it with the original. A folder that is renamed as a whole would save calls where many
files are new in one folder, but not find what an earlier attempt has left, file by file; many small files are bundled
before they come here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pilot_data.entries import Item, Outcome
from pilot_data.errors import (
    STORAGE_WIDE,
    ChangedSourceError,
    ChecksumError,
    MissingFileError,
    TransferError,
)
from pilot_data.job import Job
from pilot_data.landing import Landing, land_other
from pilot_data.local_files import below, make_parents, translated
from pilot_data.outcomes import outcome_of
from pilot_data.source_file import SourceFile

from .folders import Folders, Found, above, mtime_ns
from .globus_errors import ExistsError
from .local_collection import LocalCollection
from .tasks import Order, Tasks

_BLOCK = 1 << 20


@dataclass
class Round:
    """The files of one task.

    Attributes:
        outcomes: Of files that need no task, or cannot be moved.
        ways: For each file that the task moves, its path at the source and at the target.
        checksums: SHA-256 of files that have been read here.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    ways: dict[Item, tuple[str, str]] = field(default_factory=dict)
    checksums: dict[Item, str] = field(default_factory=dict)

    def add(self, items: Sequence[Item], way: Callable[[Item], tuple[str, str] | None]) -> None:
        """Take items in.

        Args:
            items: The files.
            way: Returns the paths of one; None when it has landed without a task.
        """
        for item in items:
            try:
                found = way(item)
            except STORAGE_WIDE:
                raise
            except TransferError as error:
                self.outcomes.append(Outcome(item, error=error))
                continue
            if found is None:
                self.outcomes.append(Outcome(item))
            else:
                self.ways[item] = found

    def run(self, tasks: Tasks, order: Callable[[list[tuple[str, str]]], Order], job: Job) -> str:
        """Move the files; those that cannot be moved have outcomes then, and are taken out.

        Returns:
            The task's id; empty when there was nothing to do.
        """
        if not self.ways:
            return ""
        try:
            task_id = tasks.transfer(order(list(self.ways.values())), job)
            skipped = tasks.skipped(task_id)
        except STORAGE_WIDE:
            raise
        except TransferError as error:
            self.outcomes += [Outcome(item, error=error) for item in self.ways]
            self.ways.clear()
            return ""
        for item in [item for item, way in self.ways.items() if way[0] in skipped]:
            self.outcomes.append(Outcome(item, error=skipped[self.ways.pop(item)[0]]))
        return task_id

    def land(self, land: Callable[[Item], str]) -> Iterator[Outcome]:
        """Yield all outcomes; `land` gives a file its name, and returns its checksum."""
        yield from self.outcomes
        for item in self.ways:
            yield outcome_of(item, land)


def put(
    folders: Folders, tasks: Tasks, local: LocalCollection, root: str, items: Sequence[Item], job: Job
) -> Iterator[Outcome]:
    """Copy local files to a collection."""
    moving = Round()

    def way(item: Item) -> tuple[str, str] | None:
        partial = _partial(folders, item)
        if item.entry.is_folder:
            folders.make(item.target)
            return None
        if item.entry.link:
            raise TransferError(
                f"Globus does not store the link {item.entry.path!r} -> {item.entry.link!r}; bundle it, or store "
                "the file that it leads to"
            )
        source = local.path_of(below(root, item.entry.path))
        moving.checksums[item] = _read(root, item, job)
        return source, partial

    moving.add(items, way)
    moving.run(tasks, lambda pairs: Order(local.id, folders.collection, pairs, verifies=job.verifies), job)
    sizes = {} if job.verifies else _sizes(folders, list(moving.ways))

    def land(item: Item) -> str:
        job.check()
        try:
            _unchanged(root, item)
            # One that is not there any more has been renamed by somebody else, or will be missed.
            size = sizes.get(item.partial, item.entry.size)
            if size != item.entry.size:
                raise ChecksumError(
                    f"{item.target} arrived with {size} bytes instead of {item.entry.size}; it was not kept"
                )
        except (ChangedSourceError, ChecksumError):
            tasks.delete(folders.collection, [folders.path_of(item.partial)], recursive=False)
            raise
        _name(folders, tasks, item)
        return moving.checksums[item]

    yield from moving.land(land)


def get(
    folders: Folders, tasks: Tasks, local: LocalCollection, items: Sequence[Item], root: str, job: Job
) -> Iterator[Outcome]:
    """Copy files of a collection to this machine."""
    moving = Round()

    def way(item: Item) -> tuple[str, str] | None:
        path = below(root, item.target)
        if item.entry.link or item.entry.is_folder:
            land_other(root, item)
            return None
        try:
            make_parents(path)
        except OSError as error:
            raise translated(error, f"cannot write {path}") from None
        return folders.path_of(item.entry.path), local.path_of(below(root, item.partial))

    moving.add(items, way)
    moving.run(tasks, lambda pairs: Order(folders.collection, local.id, pairs, verifies=job.verifies), job)

    def land(item: Item) -> str:
        job.check()
        with Landing(root, item, job) as landing:
            return landing.finish(item.entry.checksum)

    yield from moving.land(land)


def copy(
    source: Folders, folders: Folders, tasks: Tasks, items: Sequence[Item], job: Job
) -> Iterator[Outcome]:
    """Copy files from another collection, which sends them by itself."""
    moving = Round()

    def way(item: Item) -> tuple[str, str] | None:
        partial = _partial(folders, item)
        if item.entry.is_folder:
            folders.make(item.target)
            return None
        if item.entry.link:
            raise TransferError(f"Globus does not store the link {item.entry.path!r}; store what it leads to")
        return source.path_of(item.entry.path), partial

    def order(pairs: list[tuple[str, str]]) -> Order:
        # Only what is copied anew has its checksum told.
        algorithm = "SHA256" if job.verifies else ""
        return Order(
            source.collection, folders.collection, pairs, job.verifies, goes_on=False, algorithm=algorithm
        )

    moving.add(items, way)
    task_id = moving.run(tasks, order, job)
    told = tasks.sha256_of_copied(task_id) if task_id and job.verifies else {}
    sizes = _sizes(folders, list(moving.ways))

    def land(item: Item) -> str:
        job.check()
        checksum = told.get(moving.ways[item][1], "")
        wrong = _wrong(item, checksum, sizes.get(item.partial, item.entry.size), job)
        if wrong:
            tasks.delete(folders.collection, [folders.path_of(item.partial)], recursive=False)
            raise ChangedSourceError(f"{item.target} {wrong}; it was not kept")
        _name(folders, tasks, item)
        return checksum

    yield from moving.land(land)


def _wrong(item: Item, checksum: str, size: int, job: Job) -> str:
    """Return what is wrong with a copy; empty when nothing is."""
    if size != item.entry.size:
        return f"has {size} bytes instead of {item.entry.size}"
    if not job.verifies:
        return ""
    if not checksum:
        return "was copied without a SHA-256 told by Globus; copy it through this machine"
    if item.entry.checksum not in {"", checksum}:
        return f"has SHA-256 {checksum} instead of {item.entry.checksum}"
    return ""


def _partial(folders: Folders, item: Item) -> str:
    """Return the path that a file is moved to, when its last name is a fit one, too."""
    folders.path_of(item.target)
    return folders.path_of(item.partial)


def _read(root: str, item: Item, job: Job) -> str:
    """Return the SHA-256 of a local file as it is before it is moved; empty when none is asked for."""
    if not job.verifies:
        _unchanged(root, item)
        return ""
    with SourceFile(root, item, job) as reading:
        while reading.read(_BLOCK):
            job.check()
        return reading.finish()


def _unchanged(root: str, item: Item) -> None:
    path = below(root, item.entry.path)
    try:
        found = os.stat(path)
    except OSError as error:
        raise translated(error, f"cannot read {path}") from None
    if found.st_size != item.entry.size or item.entry.mtime_ns not in {0, found.st_mtime_ns}:
        raise ChangedSourceError(
            f"{path} changed ({found.st_size} bytes now, {item.entry.size} before); move it when nothing writes to "
            "it any more"
        )


def _sizes(folders: Folders, items: Sequence[Item]) -> dict[str, int]:
    """Return the sizes of what has arrived, by partial paths: one question a folder."""
    found = {}
    for folder in above([item.partial for item in items]):
        for child in folders.children(folder):
            path = f"{folder}/{child['name']}" if folder else str(child["name"])
            found[path] = int(child["size"] or 0)
    return found


def _name(folders: Folders, tasks: Tasks, item: Item) -> None:
    """Give a file that has arrived its name."""
    try:
        folders.rename(item.partial, item.target)
    except ExistsError:  # not every kind of storage below Globus replaces files
        tasks.delete(folders.collection, [folders.path_of(item.target)], recursive=False)
        folders.rename(item.partial, item.target)
    except MissingFileError:
        # Somebody else, who brought the same file, has renamed it, or an answer was lost. Then it stands.
        if not _stands(item, folders.stat(item.target)):
            raise


def _stands(item: Item, found: Found) -> bool:
    """Return whether a file is the one that was brought; Globus keeps whole seconds of its time."""
    same_time = mtime_ns(found) // 10**9 == item.entry.mtime_ns // 10**9
    return int(found["size"]) == item.entry.size and (same_time or not item.entry.mtime_ns)
