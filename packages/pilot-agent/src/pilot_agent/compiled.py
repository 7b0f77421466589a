"""The agent's zip file with byte code in it: a second file beside the first, made once for each version of Python.

Python keeps no byte code of what it imports from an archive, so that head and executors would compile their modules at each
start. The first agent does it for all that follow; in one file, because shared file systems are slow with many.

The invariant: a file is used when its last bytes are the checksum of the archive it was made of and of itself, and only from
a folder that nobody else can write to. It is put there whole, and never changed. Without it an agent runs just as well.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

SEAL_BYTES = hashlib.sha256().digest_size


def compiled(archive: str) -> str:
    """Return the path of an archive with byte code, which is made unless it is there.

    Args:
        archive: Path of the agent's zip file.

    Returns:
        Its own path when there can be no such file: the folder is not the user's alone, is read-only, or is full.
    """
    path = f"{archive}.{sys.implementation.cache_tag}"
    try:
        if not _is_ours_alone(os.path.dirname(archive)):
            return archive
        data = Path(archive).read_bytes()
        if not _is_whole(path, data):
            from .byte_code import with_byte_code  # noqa: PLC0415 - needed once

            _put(path, _sealed(with_byte_code(data, archive, room=SEAL_BYTES), data))
        return path
    except OSError as error:
        logger.info("agent.not_compiled %s", error, extra={"action": "agent.not_compiled"})
        return archive


def _is_ours_alone(folder: str) -> bool:
    found = os.stat(folder)
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_whole(path: str, archive: bytes) -> bool:
    """Tell whether the file is right; one that is not is removed."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return False
    if data == _sealed(data[:-SEAL_BYTES], archive):
        return True
    logger.warning("agent.compiled_anew %s was damaged", path, extra={"action": "agent.compiled_anew"})
    os.unlink(path)
    return False


def _sealed(content: bytes, archive: bytes) -> bytes:
    """Append the checksum, for which the archive's end has room: its comment."""
    made_for = hashlib.sha256(archive + importlib.util.MAGIC_NUMBER)
    made_for.update(content)
    return content + made_for.digest()


def _put(path: str, data: bytes) -> None:
    """Write a file that appears under its name whole; another agent's is as good, and may be in use already."""
    beside = os.path.join(os.path.dirname(path), f".agent-{secrets.token_hex(8)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)
