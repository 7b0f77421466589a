"""What tests of radical.saga start from: queues that are closed in the end, and what its helpers leave behind."""

from __future__ import annotations

import getpass
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pilot.submission.saga.queue import SagaQueue
from until import until


def need_saga() -> None:
    """Skip what needs radical.saga where it is not installed."""
    if not importlib.util.find_spec("radical"):
        pytest.skip("no server: radical.saga is not installed")


@contextmanager
def saga_queues(url: str, environment: Mapping[str, str], folder: Path) -> Iterator[Callable[[], SagaQueue]]:
    """Give a function that makes queues for the length of a block; nothing of them may stay after it.

    Its environment is that of this process for so long.

    Args:
        url: Of the batch system.
        environment: By which its commands find it.
        folder: New, for temporary files.
    """
    need_saga()
    made: list[SagaQueue] = []
    others = helpers()

    def make() -> SagaQueue:
        made.append(SagaQueue(url, warm=True))
        return made[-1]

    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        for name, value in {**environment, "TMPDIR": str(folder)}.items():
            patch.setenv(name, value)
        try:
            yield make
        finally:
            for queue in made:
                queue.close()
        left = os.listdir(folder) + [f"process {pid}" for pid in helpers() - others]
        assert not left, f"radical.saga's helpers left {left}"
        # Other tests that run beside may have some; what nobody removes is ours.
        until(lambda: not list(Path("/tmp").glob(f"saga_ssh_{getpass.getuser()}_*")))


def helpers() -> set[int]:
    """Return the processes of helpers that this process started."""
    return {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_helper(pid)}


def _is_helper(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return False
    return b"pilot.submission.saga.helper" in command and parent == os.getpid()
