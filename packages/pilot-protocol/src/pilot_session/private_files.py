"""Files and directories with secrets, for their owner's eyes alone.

The invariant: what is written here was never, not for a moment, readable by another user, and what is read here could not
have been written by one. A file is whole or absent.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pilot_protocol.errors import CoordinationError


def make_private_directory(path: Path) -> None:
    """Make a directory, and those above it, that only its owner can enter; one that is there already must be like that.

    Raises:
        CoordinationError: It cannot be made, is no directory, belongs to another user, or others can enter it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise CoordinationError(
            f"the directory {path} cannot be made: {error.strerror}; choose another one", transient=False
        ) from error
    _refuse_strangers(path, found)
    if found.st_mode & 0o077:
        raise CoordinationError(
            f"the directory {path} is to hold secrets and has mode {stat.S_IMODE(found.st_mode):04o}; "
            f"choose another one, or type: chmod 700 {path}",
            transient=False,
        )


def write_private(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file (mode 0600) beside the old one and put it in its place.

    Args:
        path: The file.
        data: What it is to hold.
        durable: Return when it is on disk, so that it survives a loss of power.

    Raises:
        CoordinationError: It cannot be written; the old file, if any, is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CoordinationError(f"{path} cannot be written: {error.strerror}", transient=False) from error


def read_private(path: Path) -> bytes:
    """Return what is in a file that only its owner can read.

    Raises:
        FileNotFoundError: There is no such file.
        CoordinationError: It cannot be read, is no plain file, belongs to another user, or others can read it.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            _refuse_open_file(path, os.fstat(file.fileno()))
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CoordinationError(f"{path} cannot be read: {error.strerror}", transient=False) from error


def _refuse_open_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise CoordinationError(f"{path} is no plain file", transient=False)
    _refuse_strangers(path, found)
    if found.st_mode & 0o077:
        raise CoordinationError(
            f"{path} holds secrets and has mode {stat.S_IMODE(found.st_mode):04o}, so other users may have read or "
            f"changed it; if you trust them, type: chmod 600 {path}",
            transient=False,
        )


def _refuse_strangers(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise CoordinationError(
            f"{path} belongs to user number {found.st_uid}, not to you ({os.geteuid()}); "
            "use one of your own: have its owner hand it over, copy it and type chmod 600",
            transient=False,
        )
