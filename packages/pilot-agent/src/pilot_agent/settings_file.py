"""The settings file of an agent, which holds secrets: read by the agent's head and by its executors on other nodes."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import Any


def read_private(path: str) -> dict[str, Any]:
    """Return the content of a settings file.

    Raises:
        OSError: It is missing, belongs to somebody else, or others may read it; ``strerror`` says which.
        ValueError: It is no JSON object.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            text = file.read()
    except OSError as error:
        raise OSError(error.errno, f"cannot be read: {error.strerror}") from error
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise OSError(errno.EPERM, f"hold secrets; make them yours alone: chmod 600 {path}")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"are not JSON: {error}") from error
    if isinstance(content, dict):
        return content
    raise ValueError("are no JSON object")
