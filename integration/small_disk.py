"""Disks with little room: file systems in memory, for the length of a block. Needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, options: str = "size=64k,mode=0777") -> Iterator[Path]:
    """Make a folder that is a disk of its own; skip the test where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk of its own can be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a process that is just ending may still stand in it.
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@contextmanager
def full_disk(folder: Path, lack: str) -> Iterator[Path]:
    """Make a folder that has no room for more ``bytes``, or none for more ``files``."""
    content = bytes(1 << 20) if lack == "bytes" else b""
    with small_disk(folder, "size=16k,nr_inodes=64,mode=0777") as disk:
        with suppress(OSError):
            for number in count():
                (disk / str(number)).write_bytes(content)
        yield disk
