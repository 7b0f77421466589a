"""Settings of a Linux process that Python's `os` does not offer. ctypes is imported when one is made."""

from __future__ import annotations

import errno
import os
import signal

_SET_PARENT_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Make this process the parent of every descendant whose own parent ends, so that none escapes it.

    Raises:
        OSError: the kernel refuses (older than 3.4, not Linux), or this Python was built without ctypes.
    """
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; so it is for what this process becomes by exec.

    Raises:
        OSError: As :func:`become_subreaper`.
    """
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    try:
        import ctypes  # noqa: PLC0415 - on first use
    except ImportError as error:
        raise OSError(errno.ENOSYS, f"prctl needs Python's ctypes: {error}") from error
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is None:
        raise OSError(errno.ENOSYS, "this system's C library has no prctl")
    unused = ctypes.c_ulong(0)
    if prctl(option, ctypes.c_ulong(value), unused, unused, unused) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}, {value}): {os.strerror(code)}")
