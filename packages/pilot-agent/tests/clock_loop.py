"""An event loop whose clock stands still until a test moves it: timers without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

_TURNS = 100


class ClockLoop(asyncio.SelectorEventLoop):
    """A loop whose `time` is what the test says."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        super().__init__()

    def time(self) -> float:
        return self.now_s

    def spin(self) -> None:
        """Run what is ready, and what becomes ready by that, for some turns; wait for nothing else."""
        for _ in range(_TURNS):
            self.call_soon(self.stop)
            self.run_forever()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
        self.spin()

    def do(self, act: Callable[..., object], *arguments: Any) -> None:
        """Call something inside the loop."""
        self.call_soon(lambda: act(*arguments))
        self.spin()


@contextmanager
def clock_loop() -> Iterator[ClockLoop]:
    """Give a loop, and close it after all its tasks have been canceled."""
    loop = ClockLoop()
    asyncio.set_event_loop(loop)  # where Python 3.9 looks when an event is made
    try:
        yield loop
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.spin()
        asyncio.set_event_loop(None)
        loop.close()
