"""Why a unit could not be started, in words that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

_FULL = (errno.ENOSPC, errno.EDQUOT)
_MAX_TEXT_BYTES = 32 * 4096
"""Longest single argument or environment entry: MAX_ARG_STRLEN of Linux, 32 pages."""


class StartError(Exception):
    """A unit that could not be started.

    Attributes:
        reason: machine-readable reason of the unit's end: start, disk_full or rejected.
    """

    def __init__(self, message: str, reason: str = "start") -> None:
        super().__init__(message)
        self.reason = reason


def cannot(what: str, error: OSError) -> StartError:
    """Return the failure for `what` ("working directory '/x' cannot be made"), caused by `error`."""
    reason = "disk_full" if error.errno in _FULL else "start"
    return StartError(f"{what}: {error.strerror or error}", reason)


def exec_failure(
    error: OSError, path: str, argv: Sequence[str], environment: Mapping[str, str]
) -> StartError:
    """Return the failure for `error`, with which the kernel refused to execute the file `path`."""
    if error.errno == errno.E2BIG:
        return StartError(_too_long(argv, environment))
    if error.errno == errno.EAGAIN:
        return StartError(f"{path!r} not started: the limit of processes of this user (ulimit -u) is reached")
    if error.errno == errno.ENOENT:
        return StartError(_not_found(path))
    if error.errno == errno.ENOEXEC:
        return StartError(
            f"{path!r} is no program for this machine: no '#!' line, empty, or built for another kind of CPU"
        )
    if error.errno == errno.EACCES:
        return StartError(_no_access(path))
    return cannot(f"{path!r} cannot be executed", error)


def _not_found(path: str) -> str:
    if not os.path.exists(path):
        return f"executable {path!r} not found"
    interpreter = _interpreter(path)
    if not interpreter:
        return f"{path!r} cannot be executed: the dynamic loader it names is not on this machine"
    hint = (
        "; the line ends with a carriage return, save the file with Unix line ends"
        if interpreter.endswith("\r")
        else ""
    )
    return f"{path!r} cannot be executed: its interpreter {interpreter!r} (first line of the file) not found{hint}"


def _no_access(path: str) -> str:
    if os.path.isdir(path):
        return f"{path!r} is a folder, not an executable"
    if os.path.exists(path) and not os.access(path, os.X_OK):
        return f"{path!r} is not executable; set its x permission (chmod +x)"
    interpreter = _interpreter(path)
    if interpreter and not os.access(interpreter, os.X_OK):
        return f"{path!r} cannot be executed: its interpreter {interpreter!r} (first line of the file) is not executable"
    return (
        f"{path!r} cannot be executed: permission denied by a folder above it or by its file system (noexec)"
    )


def _interpreter(path: str) -> str:
    """Return what the `#!` line of `path` names, "" when it has none or cannot be read."""
    try:
        with open(path, "rb") as program:
            first_line = program.read(256).partition(b"\n")[0]
    except OSError:
        return ""
    if not first_line.startswith(b"#!"):
        return ""
    return os.fsdecode(first_line[2:].strip(b" \t").split(b" ")[0])


def _too_long(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    entries = [*argv, *(f"{name}={value}" for name, value in environment.items())]
    sizes = [len(os.fsencode(entry)) + 1 for entry in entries]
    if max(sizes) > _MAX_TEXT_BYTES:
        return (
            f"argument list too long: one argument or variable has {max(sizes)} bytes, "
            f"the kernel allows {_MAX_TEXT_BYTES}; pass it in a file"
        )
    allowed = os.sysconf("SC_ARG_MAX")
    return (
        f"argument list too long: {sum(sizes)} bytes with the environment, the kernel allows {allowed}; "
        "pass them in a file"
    )
