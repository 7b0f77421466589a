"""How the bytes of a bundle are counted: as those of its files."""

from __future__ import annotations

from .job import Job


class Share:
    """Tells of the bytes of a bundle as many as its files have."""

    def __init__(self, job: Job, content: int) -> None:
        self._job = job
        self._left = content

    def __call__(self, count: int) -> None:
        """Take note of bytes that have moved."""
        told = min(count, self._left)
        self._left -= told
        self._job.on_bytes(told)
