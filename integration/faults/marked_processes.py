"""Finds processes by a mark in their environment, which all that they start inherit, and waits for their ends."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from pathlib import Path

GONE_S = 10.0
"""How long a process that is to end may take: the machine of the tests may be slow."""


def marked(mark: str) -> dict[int, str]:
    """Return the command line of each process with ``NAME=value`` in its environment, by pid."""
    wanted = mark.encode()
    found = {}
    for entry in Path("/proc").iterdir():
        # What ends now, or has ended and is not reaped yet, cannot be read or is empty.
        with suppress(OSError):
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes()
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def wait_for_end(pid: int, limit_s: float = GONE_S) -> bool:
    """Wait for the end of a process that need not be a child; return whether it came."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], limit_s)[0])
    finally:
        os.close(descriptor)
