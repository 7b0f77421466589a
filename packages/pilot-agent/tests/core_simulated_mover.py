"""A mover that moves nothing, for tests of the agent's core: it remembers what it was asked, and answers when told to."""

from __future__ import annotations

from collections.abc import Iterable

from pilot_agent.actions import MoveRequest
from pilot_agent.events import Moved

Attempt = tuple[str, int]


class SimulatedMover:
    """Objects at once when it is asked what makes no sense."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, int, str], bool] = {}
        """Requests without an answer, and whether they are to be given up."""
        self.staged: set[Attempt] = set()
        self.delivered: set[Attempt] = set()
        self.asked: set[Attempt] = set()
        self.released: set[Attempt] = set()

    def take(self, requests: Iterable[MoveRequest]) -> None:
        """Take what the core wants."""
        for request in requests:
            attempt = (request.id, request.attempt)
            if request.do == "release":
                self.released.add(attempt)
            elif request.do == "cancel":
                keys = [key for key in self.open if key[:2] == attempt]
                assert keys, f"{request} has nothing to cancel"
                self.open.update(dict.fromkeys(keys, True))
            else:
                assert attempt not in self.released, f"{request} after its release"
                assert (request.id, request.attempt, request.do) not in self.open, f"{request} twice"
                self.open[request.id, request.attempt, request.do] = False
                self.asked.add(attempt)

    def answer(self, which: int, error: str) -> Moved | None:
        """Answer one request; one that was to be given up may have been done. The error ``stale`` is what Redis says of outputs."""
        if not self.open:
            return None
        key = list(self.open)[which % len(self.open)]
        if self.open.pop(key) and which % 2:
            error = "canceled"
        unit_id, attempt, did = key
        is_stale = error == "stale" and did == "out"
        if not error:
            (self.staged if did == "in" else self.delivered).add((unit_id, attempt))
        return Moved(unit_id, attempt, did, error, is_stale)
