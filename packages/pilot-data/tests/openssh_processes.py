"""The processes of the client ``openssh``, as tests look for what is left of them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from own_sshd import LIMIT_S

_PUT = """
import sys
from contextlib import closing
from pilot_data.entries import Item
from pilot_data.job import Job
from pilot_data.locations import parse
from pilot_data.registry import open_storage
from pilot_data.storage import Access
here, there = sys.argv[1:]
def note(count):
    print("moved", flush=True)
    sys.stdin.read()
items = [Item(entry, entry.path) for entry in open_storage(parse(here)).list()]
with closing(open_storage(parse(there), Access(ssh_client="openssh"))) as storage:
    list(storage.put_many(here, items, Job(on_bytes=note)))
"""


class Processes:
    """Those whose command lines name something, as they are now.

    Args:
        word: What they name.
    """

    def __init__(self, word: str) -> None:
        self.pids = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _names(pid, word)]
        self._fds = [os.pidfd_open(pid) for pid in self.pids]

    def have_ended(self) -> bool:
        """Wait until they have; return whether they did."""
        try:
            return all(select.select([fd], [], [], LIMIT_S)[0] for fd in self._fds)
        finally:
            for fd in self._fds:
                os.close(fd)

    def kill(self, word: str) -> None:
        """Kill those of them that name something else, too, at once."""
        for pid in self.pids:
            if _names(str(pid), word):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def putting(here: str, there: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give a program that puts a folder and stands still in the middle of it."""
    arguments = [sys.executable, "-c", _PUT, here, there]
    with subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"moved\n"
        yield process


def _names(pid: str, word: str) -> bool:
    with suppress(OSError):
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
