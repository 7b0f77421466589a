"""Folders of this machine, and all that is mounted here."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress

from pilot_data.entries import Entry, Item, Outcome, is_listed
from pilot_data.errors import MissingFileError, TransferError
from pilot_data.job import Job
from pilot_data.landing import Landing, land_other
from pilot_data.local_files import below, translated
from pilot_data.outcomes import outcome_of
from pilot_data.source_file import SourceFile
from pilot_data.storage import Capabilities, Storage

_BLOCK = 1 << 20


class FileStorage(Storage):
    """A folder of this machine."""

    capabilities = Capabilities(links=True, modes=True, mtimes=True, folders=True, bytes_names=True)

    @property
    def root(self) -> str:
        """The folder's absolute path."""
        return self.location.path

    def list(self, paths: Sequence[str] = ("",)) -> Iterator[Entry]:
        """See `Storage.list`."""
        for path in paths:
            yield from self._at(path)

    def put_many(self, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.put_many`."""
        return _copy_many(root, self.root, items, job)

    def get_many(self, items: Sequence[Item], root: str, job: Job) -> Iterator[Outcome]:
        """See `Storage.get_many`."""
        return _copy_many(self.root, root, items, job)

    def checksums(self, paths: Sequence[str], job: Job) -> dict[str, str]:
        """See `Storage.checksums`."""
        found = {}
        for path in paths:
            checksum = _checksum(below(self.root, path), job)
            if checksum:
                found[path] = checksum
        return found

    def remove_many(self, paths: Sequence[str]) -> None:
        """See `Storage.remove_many`."""
        for path in paths:
            full = below(self.root, path)
            try:
                _remove(full)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise translated(error, f"cannot remove {full}") from None
            self._remove_empty_folders(os.path.dirname(full))

    def remove_all(self) -> None:
        """See `Storage.remove_all`."""
        try:
            if os.path.islink(self.root) or os.path.isfile(self.root):
                os.unlink(self.root)
            else:
                shutil.rmtree(self.root)
        except FileNotFoundError:
            return
        except OSError as error:
            raise translated(error, f"cannot remove {self.root}") from None

    def discard_many(self, items: Sequence[Item]) -> None:
        """See `Storage.discard_many`."""
        self.remove_many([item.partial for item in items])

    def free_bytes(self) -> int | None:
        """See `Storage.free_bytes`."""
        folder = self.root
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        if not os.path.isdir(folder):
            raise TransferError(
                f"{folder} is no folder; name one, or a place for one, instead of {self.root}"
            )
        return shutil.disk_usage(folder).free

    def close(self) -> None:
        """See `Storage.close`: nothing is held."""

    def _at(self, path: str) -> Iterator[Entry]:
        full = below(self.root, path) if path else self.root
        try:
            found = os.lstat(full)
            if stat.S_ISLNK(found.st_mode) and not path:
                found = os.stat(full)  # the root itself may be a link: it is where files are, not one of them
        except OSError as error:
            raise translated(error, f"cannot read {full}") from None
        if stat.S_ISDIR(found.st_mode):
            yield from self._below(full, path)
            return
        if not path:
            raise MissingFileError(f"{full} is a file; name it by the folder above it")
        entry = _entry(full, path, found)
        if entry is not None:
            yield entry

    def _below(self, full: str, path: str) -> Iterator[Entry]:
        """Yield what a folder holds; depth first, so that memory follows the depth."""
        try:
            with os.scandir(full) as opened:
                children = sorted(opened, key=lambda child: child.name)
            if path and not children:
                yield Entry(path, is_folder=True, mode=stat.S_IMODE(os.stat(full).st_mode))
        except OSError as error:
            raise translated(error, f"cannot read {full}") from None
        for child in children:
            yield from self._child(child, f"{path}/{child.name}" if path else child.name)

    def _child(self, child: os.DirEntry[str], path: str) -> Iterator[Entry]:
        try:
            if child.is_dir(follow_symlinks=False):
                yield from self._below(child.path, path)
                return
            found = child.stat(follow_symlinks=False)
            entry = _entry(child.path, path, found) if is_listed(path) else None
        except FileNotFoundError:  # removed since the folder was read
            return
        except OSError as error:
            raise translated(error, f"cannot read {child.path}") from None
        if entry is not None:
            yield entry

    def _remove_empty_folders(self, folder: str) -> None:
        while len(folder) > len(self.root):
            try:
                os.rmdir(folder)
            except OSError:  # it holds something, or somebody else has removed it
                return
            folder = os.path.dirname(folder)


def _entry(full: str, path: str, found: os.stat_result) -> Entry | None:
    """Return a file or a link; None for sockets, pipes and devices, which have no content to move."""
    link = ""
    broken = False
    if stat.S_ISLNK(found.st_mode):
        link = os.readlink(full)
        try:
            found = os.stat(full)
        except OSError:  # it leads nowhere, or round in a circle
            broken = True
        broken = broken or not stat.S_ISREG(found.st_mode)
    elif not stat.S_ISREG(found.st_mode):
        return None
    return Entry(
        path,
        size=0 if broken else found.st_size,
        mtime_ns=found.st_mtime_ns,
        mode=stat.S_IMODE(found.st_mode),
        link=link,
        is_broken=broken,
    )


def _remove(full: str) -> None:
    if os.path.isdir(full) and not os.path.islink(full):
        with suppress(OSError):  # a folder that holds something stays
            os.rmdir(full)
    else:
        os.unlink(full)


def _copy_many(source: str, target: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
    for item in items:
        job.check()
        yield outcome_of(item, lambda each: _copy(source, target, each, job))


def _copy(source: str, target: str, item: Item, job: Job) -> str:
    if item.entry.link or item.entry.is_folder:
        land_other(target, item)
        return ""
    with SourceFile(source, item, job) as reading, Landing(target, item, job) as landing:
        return _pump(reading, landing, job)


def _pump(reading: SourceFile, landing: Landing, job: Job) -> str:
    offset = 0
    while data := reading.read(_BLOCK):
        end = offset + len(data)
        if end > landing.arrived:
            landing.write(data, offset)
            job.moved(len(data))
        offset = end
    expected = reading.finish()
    landing.read_again()
    return landing.finish(expected)


def _checksum(full: str, job: Job) -> str:
    """Return the SHA-256 of a file; empty when there is none."""
    found = hashlib.sha256()
    try:
        with open(full, "rb", buffering=0) as reading:
            while data := reading.read(_BLOCK):
                found.update(data)
                job.check()
    except (FileNotFoundError, IsADirectoryError):
        return ""
    except OSError as error:
        raise translated(error, f"cannot read {full}") from None
    return found.hexdigest()
