"""A local folder whose transfers wait or fail as a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pilot_data.adaptors.file import FileStorage
from pilot_data.entries import Item, Outcome
from pilot_data.job import Job


@dataclass(eq=False)
class Hindrance:
    """What happens to transfers to some folders.

    Attributes:
        word: Of the folder's path.
        error: What is raised; None to wait for ``go``.
        after: How many files land before.
        reached: Set when a transfer came so far.
        go: Lets it go on.
        begun: How many transfers have begun.
    """

    word: str
    error: BaseException | None = None
    after: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    begun: int = 0

    def meet(self, landed: int, job: Job) -> None:
        """Wait or fail, when so many files have landed."""
        if landed != self.after:
            return
        self.reached.set()
        if self.error is not None:
            raise self.error
        while not self.go.wait(0.01):
            job.check()


HINDRANCES: list[Hindrance] = []


class HinderedStorage(FileStorage):
    """The file adaptor's stand-in."""

    def put_many(self, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.put_many`."""
        met = [hindrance for hindrance in HINDRANCES if hindrance.word in self.root]
        for hindrance in met:
            hindrance.begun += 1
        for landed, item in enumerate(items):
            for hindrance in met:
                hindrance.meet(landed, job)
            yield from super().put_many(root, [item], job)
