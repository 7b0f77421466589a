"""Files of data units that were fetched to a pilot's sandbox: each once, for all of its compute units.

What is there is read from the disk, so that another mover goes on where one was killed. A file stands under its name whole
and verified, or not at all, as with every storage; an entry may have some of the files of its data unit.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from stat import S_ISDIR, S_ISLNK, S_ISREG

from pilot_data.adaptors.file import FileStorage
from pilot_data.entries import Entry
from pilot_data.errors import NoSpaceError
from pilot_data.job import Job
from pilot_data.local_files import below, translated
from pilot_data.locations import Location
from pilot_data.moving import present_at
from pilot_data.plan import same_time
from pilot_data.storage import Access
from pilot_protocol.data_records import FileRecord

from .locks import Locks
from .pins import PINS, Pins

logger = logging.getLogger(__name__)

Bring = Callable[[FileStorage, Sequence[FileRecord]], None]
"""Puts files of a data unit into the folder of its entry."""

_ROOM = "room"
"""Name of the lock that is held while room is made; no id of a data unit."""


class Cache:
    """Data units in a folder. May be used by several threads, and by several processes.

    The file of an entry's lock tells how many bytes the entry has or is about to get, and when it was last used.

    Args:
        folder: Absolute; made if there is none.
        limit_bytes: How much it may hold; 0 for what has room on the disk.
    """

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._locks = Locks(f"{folder}/.locks")
        self._room = Locks(f"{folder}/.room")
        self._pins = Pins(f"{folder}/{PINS}")

    def pin(self, unit: str, attempt: int, data_units: Sequence[str]) -> None:
        """Keep data units until `release`."""
        with self._room.held(
            _ROOM, Job()
        ):  # whoever makes room has either read this, or has not removed anything yet
            self._pins.put(unit, attempt, data_units)

    def release(self, unit: str, attempt: int) -> None:
        """Let go of what an attempt of a compute unit uses."""
        self._pins.remove(unit, attempt)

    def wake(self) -> None:
        """Let all who wait look whether they are canceled."""
        self._locks.wake()

    def provide(self, data_unit: str, files: Sequence[FileRecord], bring: Bring, job: Job) -> str:
        """Return the folder of an entry when it has some files of its data unit; who asks has pinned it.

        Args:
            data_unit: Its id.
            files: That are needed.
            bring: Is called for those that are not there yet; by one at a time for each data unit.
            job: Cancels the waiting.

        Raises:
            NoSpaceError: There is no room, and what is in use has to stay.
            TransferError: A file could not be brought.
        """
        folder = f"{self._folder}/{data_unit}"
        with self._locks.held(data_unit, job):
            missing = [file for file in files if not _is_there(folder, file)]
            if missing:
                storage = FileStorage(Location("file", path=folder), Access())
                self._make_room(data_unit, present_at(storage), missing)
                bring(storage, missing)
            os.utime(self._locks.path(data_unit))
        return folder

    def _make_room(self, data_unit: str, present: dict[str, Entry], missing: Sequence[FileRecord]) -> None:
        """Remove entries that nobody uses, the one that was used longest ago first, until files have room."""
        fresh = sum(file.size for file in missing if not file.link)
        replaced = {file.path for file in missing}
        size = fresh + sum(entry.bytes_to_move for entry in present.values() if entry.path not in replaced)
        with self._room.held(_ROOM, Job()):
            others = {name: self._size(name) for name in self._locks.names() if name != data_unit}
            idle = sorted((name for name in others if others[name]), key=self._last_used)
            pinned = self._pins.data_units()
            for name in (name for name in idle if name not in pinned):
                if self._fits(size + sum(others.values()), fresh):
                    break
                others[name] = 0 if self._removed(name) else others[name]
            if not self._fits(size + sum(others.values()), fresh):
                raise self._no_room(data_unit, size, sum(others.values()))
            self._note_size(data_unit, size)

    def _fits(self, total: int, fresh: int) -> bool:
        if self._limit and total > self._limit:
            return False
        return fresh <= shutil.disk_usage(self._folder).free

    def _no_room(self, data_unit: str, size: int, used: int) -> NoSpaceError:
        free = shutil.disk_usage(self._folder).free
        limit = f"of {self._limit} bytes (cache_mb)" if self._limit else f"of a disk with {free} bytes free"
        return NoSpaceError(
            f"data unit {data_unit} needs {size} bytes in the cache {limit}, where compute units that have not ended use "
            f"{used}; let the pilot have a larger cache, or name patterns of the files that are needed"
        )

    def _removed(self, name: str) -> bool:
        """Remove an entry; return False when somebody works on it just now, or the system refuses."""
        folder = f"{self._folder}/{name}"
        with self._locks.held_if_free(name) as is_free:
            if not is_free:
                return False
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                pass
            except OSError as error:
                logger.warning("cache.left %s: %s", folder, error, extra={"action": "cache.left"})
                return False
            self._note_size(name, 0)
        logger.info("cache.removed %s", name, extra={"action": "cache.removed"})
        return True

    def _size(self, name: str) -> int:
        with open(self._locks.path(name)) as reading:
            return int(reading.read() or 0)

    def _note_size(self, name: str, size: int) -> None:
        used_ns = os.stat(self._locks.path(name)).st_mtime_ns
        fd = os.open(self._locks.path(name), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(fd, b"%020d" % size, 0)  # always as long: in one step, also for who is killed
            os.utime(fd, ns=(used_ns, used_ns))
        except OSError as error:
            raise translated(error, f"cannot write {self._locks.path(name)}") from None
        finally:
            os.close(fd)

    def _last_used(self, name: str) -> int:
        return os.stat(self._locks.path(name)).st_mtime_ns


def _is_there(folder: str, file: FileRecord) -> bool:
    """Return whether the cache has a file as the catalogue tells of it: with its size, and its time if that is known."""
    try:
        found = os.lstat(below(folder, file.path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    if file.link:
        return S_ISLNK(found.st_mode)
    if file.is_folder:
        return S_ISDIR(found.st_mode)
    is_as_old = not file.mtime_ns or same_time(file.mtime_ns, found.st_mtime_ns)
    return S_ISREG(found.st_mode) and found.st_size == file.size and is_as_old
