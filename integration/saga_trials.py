"""What tests of radical.saga start from: queues that are closed in the end, and what its helpers leave behind."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pilot.submission.saga_queue import SagaQueue
from queue_contract import Queues


def need_saga() -> None:
    """Skip what needs radical.saga where it is not installed."""
    if not importlib.util.find_spec("radical"):
        pytest.skip("no server: radical.saga is not installed")


@contextmanager
def saga_queues(url: str, request_limit_s: float = 60.0) -> Iterator[Queues]:
    """Give a function that makes queues for the length of a block; nothing of them may stay after it."""
    need_saga()
    before = leftovers()
    made: list[SagaQueue] = []

    def make() -> SagaQueue:
        made.append(SagaQueue(url, request_limit_s=request_limit_s, warm=True))
        return made[-1]

    try:
        yield make
    finally:
        for queue in made:
            queue.close()
    assert set(leftovers()) <= set(before)


def leftovers() -> list[str]:
    """Return what helpers have left: folders, sockets, job scripts, processes."""
    folder = Path(tempfile.gettempdir())
    patterns = ("pilot-saga-*", "saga_ssh_*", "rs_pty_staging_*", "RS-SGEJobScript*", "radical.saga*")
    files = [str(path) for pattern in patterns for path in folder.glob(pattern)]
    return files + [f"process {pid}" for pid in helpers()]


def helpers() -> list[int]:
    """Return the processes of helpers that this process started."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_helper(pid)]


def _is_helper(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return False
    return b"pilot.submission.saga_helper" in command and parent == os.getpid()
