"""Lanes: working folders and output files that units use one after another, for those that name no file themselves.

A folder and two files for each unit cost as much as half a process start. A lane has them already. After a unit the
lane is made as new: what was printed is returned and cut off, what the unit left in its folder moves to a folder of its
own. Invariant: a lane in the pool has an empty folder and empty files, and nobody is left who could change that.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, suppress
from typing import NamedTuple

from pilot_agent.spawn.failures import cannot

INLINE_BYTES = 4096
"""Output up to this size is returned with the end of the unit; the rest of a longer one stays in its file."""

_PRISTINE_NS = 10**18
"""Modification time given to an empty folder. Clocks of file systems tick too slowly to notice a quick unit's first
file by comparing two readings; any change at all ends this one, which lies in 2001."""

_PRIVATE_FOLDER = 0o700
_CAPTURE_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC


class Captured(NamedTuple):
    """What a unit printed to one stream."""

    tail: bytes
    """Its last `INLINE_BYTES`."""
    path: str
    """File with all of it, "" when the tail is all."""


class Capture:
    """File that takes one output stream of one unit after another."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.fd = self._open()

    def _open(self) -> int:
        return os.open(self._path, _CAPTURE_FLAGS, 0o600)

    def take(self, folder: str) -> Captured:
        """Return what the file holds and leave it empty; move it into `folder` when that is much.

        Raises:
            OSError: the folder or the next file cannot be made.
        """
        size = os.lseek(self.fd, 0, os.SEEK_END)
        if size == 0:
            return Captured(b"", "")
        tail = os.pread(self.fd, INLINE_BYTES, max(0, size - INLINE_BYTES))
        if size <= INLINE_BYTES:
            os.ftruncate(self.fd, 0)
            return Captured(tail, "")
        return Captured(tail, self._move(folder))

    def _move(self, folder: str) -> str:
        os.makedirs(folder, _PRIVATE_FOLDER, exist_ok=True)
        path = unused(os.path.join(folder, os.path.basename(self._path)))
        os.rename(self._path, path)
        fresh = self._open()
        os.close(self.fd)
        self.fd = fresh
        return path

    def close(self) -> None:
        """Close the file. It stays on disk."""
        os.close(self.fd)

    def remove(self) -> None:
        """Remove the file; who still has it open writes to what nobody sees any more."""
        os.unlink(self._path)


class Lane:
    """An empty working folder and two empty output files, for one unit at a time."""

    def __init__(self, folder: str) -> None:
        """Make them below `folder`; what a killed executor left there is moved aside.

        Raises:
            OSError: they cannot be made.
        """
        os.makedirs(folder, _PRIVATE_FOLDER, exist_ok=True)
        self._folder = folder
        self.work = os.path.join(folder, "work")
        if os.path.lexists(self.work):
            os.rename(self.work, unused(self.work))
        with ExitStack() as opened:
            self.stdout = Capture(os.path.join(folder, "stdout"))
            opened.callback(self.stdout.close)
            self.stderr = Capture(os.path.join(folder, "stderr"))
            opened.callback(self.stderr.close)
            self._pristine = self._renew()
            opened.pop_all()

    def keep_work(self, folder: str) -> str:
        """Move what a unit left in the working folder to `folder`; return where it is now, "" when nothing was left.

        Raises:
            OSError: it cannot be moved.
        """
        try:
            status = os.lstat(self.work)
        except FileNotFoundError:
            self._pristine = self._renew()
            return ""
        if (status.st_mtime_ns, status.st_mode) == self._pristine:
            return ""
        kept = "" if stat.S_ISDIR(status.st_mode) and self._is_empty() else unused(folder)
        if kept:
            os.rename(self.work, kept)
        self._pristine = self._renew()
        return kept

    def _is_empty(self) -> bool:
        os.chmod(self.work, _PRIVATE_FOLDER)
        return not os.listdir(self.work)

    def close(self) -> None:
        """Give the lane up. What it holds stays on disk."""
        self.stdout.close()
        self.stderr.close()

    def retire(self) -> None:
        """Give the lane up and remove it. What a process that is left has put there meanwhile stays on disk."""
        self.close()
        # Whatever cannot be removed is in nobody's way.
        with suppress(OSError):
            self.stdout.remove()
            self.stderr.remove()
            os.rmdir(self.work)
            os.rmdir(self._folder)

    def _renew(self) -> tuple[int, int]:
        os.makedirs(self.work, _PRIVATE_FOLDER, exist_ok=True)
        os.utime(self.work, ns=(_PRISTINE_NS, _PRISTINE_NS))
        status = os.stat(self.work)
        return status.st_mtime_ns, status.st_mode


class LanePool:
    """The lanes of one executor that no unit uses at the moment."""

    def __init__(self, folder: str, executor: int) -> None:
        """Lanes are made below `folder` when they are needed, named after the number of the `executor`."""
        self._folder = folder
        self._executor = executor
        self._made = 0
        self.may_be_written = False
        """Whether processes are left of units that have ended."""
        self._free: list[Lane] = []

    def take(self) -> Lane:
        """Return a lane that is free, a new one if need be.

        Raises:
            StartError: it cannot be made.
        """
        if self._free:
            return self._free.pop()
        path = os.path.join(self._folder, f"{self._executor}-{self._made}")
        self._made += 1
        try:
            return Lane(path)
        except OSError as error:
            raise cannot(f"folder for output {path!r} cannot be made", error) from error

    def give_back(self, lane: Lane) -> None:
        """Let the next unit use `lane`, which is as new again, unless somebody may still write there."""
        if self.may_be_written:
            lane.retire()
        else:
            self._free.append(lane)


def unused(path: str) -> str:
    """Return `path`, with a number behind it when something of that name exists already."""
    candidate, number = path, 0
    while os.path.lexists(candidate):
        number += 1
        candidate = f"{path}.{number}"
    return candidate
