"""Telling the end of a unit from the end of the batch job around it.

A batch system that ends a job signals all of its processes at once, units as well as the agent. So a unit may be heard to
have died of the signal before the agent has got its own, and would count as one that failed. The invariant: nothing that
executors tell overtakes what they told before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Callable

from . import events
from .spawn.end_signals import END_SIGNALS

HOLD_S = 0.5
"""How long after a unit's end the agent's own signal may come."""


class JobSignals:
    """Hands on what executors tell, but for ends that may be the whole job's: those it holds back for a while.

    Args:
        dispatch: Takes the events.
        was_asked: Tells of a unit whether the agent has asked it to end.
        is_in_job: Whether there is a batch job around the agent.
    """

    def __init__(
        self, dispatch: Callable[[events.Event], None], was_asked: Callable[[str], bool], *, is_in_job: bool
    ) -> None:
        self._dispatch, self._was_asked, self._is_in_job = dispatch, was_asked, is_in_job
        self._held: deque[events.Event] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, event: events.Event) -> None:
        """Take what an executor tells."""
        if not self._held:
            if not self._may_be_the_jobs(event):
                self._dispatch(event)
                return
            self._timer = asyncio.get_running_loop().call_later(HOLD_S, self.release)
        self._held.append(event)

    def release(self) -> None:
        """Hand on what is held back: it is known by now what it meant."""
        if self._timer is not None:
            self._timer.cancel()
        while self._held:
            self._dispatch(self._held.popleft())

    def _may_be_the_jobs(self, event: events.Event) -> bool:
        if not (self._is_in_job and isinstance(event, events.ExecutorEvents)):
            return False
        return any(
            (end["signal"] in END_SIGNALS or (end["code"] or 0) - 128 in END_SIGNALS)
            and not self._was_asked(name)
            for name, _attempt, end, _next in event.ended
        )
