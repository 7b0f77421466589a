"""Checksums of stored files. Globus reads no file in place, so that they come to this machine for a moment."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence

from pilot_data.entries import PARTIAL_PREFIX
from pilot_data.errors import MissingFileError, TransferError
from pilot_data.job import Job
from pilot_data.local_files import translated

from .config import Settings
from .folders import Folders
from .local_collection import LocalCollection
from .tasks import Order, Tasks

_BLOCK = 1 << 20


def checksums(
    folders: Folders, tasks: Tasks, local: LocalCollection, settings: Settings, paths: Sequence[str], job: Job
) -> dict[str, str]:
    """Return the SHA-256 of files by path, without missing ones; see `Storage.checksums`."""
    if not paths:
        return {}
    # Where logins are kept this user may write; a collection that does not show that folder shows its own root.
    parent = settings.state_folder if local.shows(settings.state_folder) else local.root
    try:
        os.makedirs(parent, mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=parent) as room:
            here = {path: f"{room}/{number}" for number, path in enumerate(paths)}
            pairs = [(folders.path_of(path), local.path_of(copy)) for path, copy in here.items()]
            order = Order(folders.collection, local.id, pairs, job.verifies)
            missing = _missing(tasks.skipped(tasks.transfer(order, job)))
            return {
                path: _sha256(copy, job)
                for path, copy in here.items()
                if folders.path_of(path) not in missing
            }
    except OSError as error:
        raise translated(error, f"cannot check files in {parent}") from None


def _missing(skipped: Mapping[str, TransferError]) -> set[str]:
    """Return the paths where nothing is; whatever else was wrong is raised."""
    for error in skipped.values():
        if not isinstance(error, MissingFileError):
            raise error
    return set(skipped)


def _sha256(path: str, job: Job) -> str:
    found = hashlib.sha256()
    with open(path, "rb", buffering=0) as reading:
        while data := reading.read(_BLOCK):
            found.update(data)
            job.check()
    return found.hexdigest()
