"""Locks by name that one thread of all processes on a machine's folder holds; who waits for one can be canceled."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pilot_data.job import Job


class Locks:
    """Locks in a folder: a file for each, which stays.

    A thread waits for others of its process by a condition, and only one of each process for other processes. The
    system lets go of the locks of a process that dies.

    Args:
        folder: Absolute; made if there is none.
    """

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        self._folder = folder
        self._held: set[str] = set()
        self._changed = threading.Condition()

    def path(self, name: str) -> str:
        """Return the file of a lock."""
        return f"{self._folder}/{name}"

    def names(self) -> list[str]:
        """Return the names of all locks that were ever held."""
        return os.listdir(self._folder)

    def wake(self) -> None:
        """Let all who wait look whether they are canceled."""
        with self._changed:
            self._changed.notify_all()

    @contextmanager
    def held(self, name: str, job: Job) -> Iterator[None]:
        """Hold a lock, as soon as nobody else does.

        Raises:
            CanceledError: The job was canceled before; see `wake`.
        """
        self._take_from_threads(name, job)
        try:
            fd = self._take_from_processes(name, job)
        except BaseException:
            self._let_go(name)
            raise
        try:
            yield
        finally:
            os.close(fd)
            self._let_go(name)

    @contextmanager
    def held_if_free(self, name: str) -> Iterator[bool]:
        """Hold a lock if nobody else does; yield whether that is so."""
        with self._changed:
            is_free = name not in self._held
            self._held.add(name)
        if not is_free:
            yield False
            return
        try:
            fd = self._opened(name)
            try:
                yield _try_lock(fd)
            finally:
                os.close(fd)
        finally:
            self._let_go(name)

    def _take_from_threads(self, name: str, job: Job) -> None:
        with self._changed:
            while name in self._held:
                job.check()
                self._changed.wait()
            self._held.add(name)

    def _take_from_processes(self, name: str, job: Job) -> int:
        """Return the open file that is locked."""
        fd = self._opened(name)
        if _try_lock(fd):
            return fd
        return self._awaited(fd, job)

    def _awaited(self, fd: int, job: Job) -> int:
        """Wait for another process, which only a thread of its own can do without keeping this one from hearing a cancel."""
        state = _Wait()

        def wait() -> None:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with self._changed:
                state.is_locked = True
                if state.is_given_up:
                    os.close(fd)
                self._changed.notify_all()

        threading.Thread(target=wait, name="lock of another mover", daemon=True).start()
        with self._changed:
            try:
                while not state.is_locked:
                    job.check()
                    self._changed.wait()
            except BaseException:
                state.is_given_up = True
                raise
        return fd

    def _opened(self, name: str) -> int:
        return os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _let_go(self, name: str) -> None:
        with self._changed:
            self._held.discard(name)
            self._changed.notify_all()


class _Wait:
    """What a thread that waits for another process and the one that it waits for tell one another."""

    is_locked = False
    is_given_up = False


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
