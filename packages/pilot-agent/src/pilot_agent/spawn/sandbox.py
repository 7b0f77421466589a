"""Folders and files of a unit: the working directory it enters, the files its standard streams are bound to.

All paths are absolute. Errors come out as `StartError`, in the words of a unit's description.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from pilot_agent.spawn.failures import StartError, cannot

_OUTPUT = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600


class Streams(NamedTuple):
    """File descriptors for a unit's standard streams."""

    stdin: int
    stdout: int
    stderr: int


def make_own_folder(path: str) -> None:
    """Make the folder `path` of one unit, readable for its user only; it may exist already.

    Raises:
        StartError: it cannot be made.
    """
    try:
        os.mkdir(path, _PRIVATE_FOLDER)
    except FileExistsError:
        return
    except OSError as error:
        raise cannot(f"the unit's folder {path!r} cannot be made", error) from error


def enter(path: str) -> None:
    """Make the folder `path` the current one; make it when it is absent.

    Raises:
        StartError: it cannot be made or entered.
    """
    try:
        os.chdir(path)
    except FileNotFoundError:
        _make_and_enter(path)
    except OSError as error:
        raise cannot(f"working directory {path!r} cannot be entered", error) from error


def _make_and_enter(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
        os.chdir(path)
    except OSError as error:
        raise cannot(f"working directory {path!r} cannot be made", error) from error


def open_input(name: str) -> int:
    """Open the file `name` for a unit to read.

    Raises:
        StartError: there is no such file, or it cannot be read.
    """
    _refuse_fifo("standard input", name)
    try:
        return os.open(name, os.O_RDONLY | os.O_NOCTTY)
    except OSError as error:
        raise cannot(f"standard input {name!r} cannot be opened", error) from error


def open_output(name: str, what: str, *, shared: bool = False) -> int:
    """Open the file `name` for a unit to write; folders above it are made.

    Args:
        name: the file; what it held is gone.
        what: how to call it in an error.
        shared: both standard output and standard error go there.

    Raises:
        StartError: it cannot be made.
    """
    _refuse_fifo(what, name)
    flags = _OUTPUT | os.O_NOCTTY | (os.O_APPEND if shared else 0)
    try:
        try:
            return os.open(name, flags, _PRIVATE_FILE)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
            return os.open(name, flags, _PRIVATE_FILE)
    except OSError as error:
        raise cannot(f"{what} {name!r} cannot be opened", error) from error


def _refuse_fifo(what: str, name: str) -> None:
    """Opening a named pipe waits for the other end, and everything else this process does would wait with it."""
    try:
        mode = os.stat(name).st_mode
    except OSError:
        return
    if stat.S_ISFIFO(mode):
        raise StartError(f"{what} {name!r} is a named pipe; open it in the unit's own program instead")


def read_tail(path: str, limit: int) -> bytes:
    """Return the last `limit` bytes of a regular file, nothing of any other kind of file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return b""
        return os.pread(fd, limit, max(0, status.st_size - limit))
    except OSError:
        return b""
    finally:
        os.close(fd)
