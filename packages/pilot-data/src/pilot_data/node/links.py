"""Puts files into the folder of a compute unit by symbolic links, so that no byte is copied."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable

from pilot_data.entries import PARTIAL_PREFIX
from pilot_data.errors import TransferError
from pilot_data.local_files import below, translated
from pilot_protocol.data_records import FileRecord


def link_all(folder: str, root: str, files: Iterable[FileRecord]) -> int:
    """Link files into a folder; sub-folders are real ones. May be said again.

    Args:
        folder: Of the compute unit, absolute.
        root: Where the files are, absolute.
        files: With paths below both.

    Returns:
        How many files were linked.

    Raises:
        TransferError: A name leads out of the folder, or something else has it there.
    """
    real = os.path.realpath(folder)
    checked: set[str] = set()
    count = 0
    for file in files:
        path = below(folder, file.path)
        parent = path if file.is_folder else os.path.dirname(path)
        if parent not in checked:
            _make_folder(parent, real)
            checked.add(parent)
        if not file.is_folder:
            _link(below(root, file.path), path)
            count += 1
    return count


def _make_folder(path: str, folder: str) -> None:
    if os.path.commonpath([folder, os.path.realpath(path)]) != folder:
        raise TransferError(f"{path} is a link that leads out of {folder}; no file is put there")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise translated(error, f"cannot make the folder {path}") from None


def _link(target: str, path: str) -> None:
    """Make a link. Units may share a folder: one that is right already is left alone, and none is missing for a moment."""
    if _leads_to(path, target):
        return
    try:
        if os.path.islink(path):  # of an earlier attempt
            _replace(target, path)
        else:
            os.symlink(target, path)
    except FileExistsError:
        if not _leads_to(path, target):
            raise TransferError(
                f"an input cannot be {path}: something of that name is there; remove or rename it"
            ) from None
    except OSError as error:
        raise translated(error, f"cannot link {path}") from None


def _leads_to(path: str, target: str) -> bool:
    try:
        return os.readlink(path) == target
    except OSError:  # there is none
        return False


def _replace(target: str, path: str) -> None:
    fresh = f"{os.path.dirname(path)}/{PARTIAL_PREFIX}{secrets.token_hex(10)}"
    os.symlink(target, fresh)
    os.replace(fresh, path)
