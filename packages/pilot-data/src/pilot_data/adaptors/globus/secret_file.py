"""Small JSON files with secrets: for their owner alone, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from pilot_data.errors import LoginError
from pilot_data.local_files import translated


def read(path: str) -> dict[str, Any] | None:
    """Return what a file holds; None when there is none.

    Raises:
        LoginError: Others may read or write it, or it is no JSON object.
        TransferError: It cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translated(error, f"cannot read {path}") from None
    if mode & 0o077:
        raise LoginError(f"{path} has mode {mode:o}, so that others may read it; run: chmod 600 {path}")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise LoginError(f"{path} holds no JSON object; remove it and log in again")
    return found


def write(path: str, document: dict[str, Any]) -> None:
    """Put a document in place of the old one.

    Raises:
        TransferError: It cannot be written.
    """
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # mkstemp makes files of mode 600.
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=folder)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise translated(error, f"cannot write {path}") from None
