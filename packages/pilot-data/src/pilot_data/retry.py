"""Tries again what may go better the next time, with growing pauses, and gives up at once on what will not."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence

from .entries import Item, Outcome
from .errors import CanceledError, TransferError
from .job import Job

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""How often something is tried that makes no progress."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

Move = Callable[[Sequence[Item]], Iterator[Outcome]]
"""Moves items, as `moving.move` does."""


def pauses() -> Iterator[float]:
    """Yield how long to wait before each further attempt, in seconds: doubled each time, and never the same for two."""
    pause = FIRST_PAUSE_S
    for _ in range(ATTEMPTS - 1):
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - to keep apart those that failed together
        pause = min(2 * pause, LONGEST_PAUSE_S)


def move_with_retries(move: Move, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
    """Move items; yield one outcome for each, the last one.

    Args:
        move: Moves them.
        items: What is to be moved, each to a place of its own.
        job: Is asked to wait, and ends the waiting when it is canceled.

    Raises:
        TransferError: The storage as a whole fails, and kept failing while trying again promised anything.
    """
    trying = _Trying(move, items)
    waits = pauses()
    while trying.left:
        before = len(trying.left)
        yield from trying.once()
        if trying.error is None:
            return
        waits = pauses() if len(trying.left) < before else waits
        pause = next(waits, None)
        if pause is None:
            yield from trying.given_up()
            return
        logger.info("transfer.again %s", trying.error, extra={"action": "transfer.again"})
        job.wait(pause)


class _Trying:
    """Items that have no last outcome yet, and what has gone wrong with them the last time."""

    def __init__(self, move: Move, items: Sequence[Item]) -> None:
        self.left = {item.target: item for item in items}
        self.error: TransferError | None = None
        self._move = move
        self._trouble: dict[str, TransferError] = {}

    def once(self) -> Iterator[Outcome]:
        """Try all that is left, and yield the outcomes that are the last ones."""
        self.error, self._trouble = None, {}
        try:
            for outcome in self._move(list(self.left.values())):
                if outcome.error is None or not outcome.error.transient:
                    self.left.pop(outcome.item.target, None)
                    yield outcome
                else:
                    self.error = self._trouble[outcome.item.target] = outcome.error
        except CanceledError:
            raise
        except TransferError as error:
            if not error.transient:
                raise
            self.error, self._trouble = error, {}
        if self.left and self.error is None:
            raise TransferError(
                f"the adaptor did not say what became of {len(self.left)} files; that is a defect of it"
            )

    def given_up(self) -> Iterator[Outcome]:
        """Yield outcomes of what is left.

        Raises:
            TransferError: It is no single file that fails.
        """
        assert self.error is not None  # noqa: S101 - asked for only then
        if not self._trouble:
            raise self.error
        for key, item in self.left.items():
            yield Outcome(item, error=self._trouble.get(key, self.error))
