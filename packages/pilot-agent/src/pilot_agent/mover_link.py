"""The head's way to the mover: started when first needed, started again when it dies, asked again what it had not answered.

Requests may be said twice, to one mover or to two in a row. Invariant: each request is answered once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pilot_protocol.errors import PilotError

from .actions import MoveRequest
from .config import AgentConfig
from .events import Moved
from .mover_place import MoverPlace, mover_place
from .mover_process import MoverProcess

logger = logging.getLogger(__name__)

MOST_STARTS = 5
"""So often a mover is started in a row that answers nothing."""
CANCELED = "canceled"
_RELEASES_KEPT = 1000
"""Of the last so many units a new mover hears that they have ended, as the one before may not have."""
_WORDS_BYTES = 2000

_Key = tuple[str, int, str]


class MoverLink:
    """Asks the mover, and hears what comes of it.

    Args:
        greeting: The first line that each mover hears: who it works for. It holds secrets.
        log: File for what movers write to standard error.
        answer: Takes the answers.
        place: Returns how a mover is started; may raise.
    """

    def __init__(
        self,
        greeting: Mapping[str, Any],
        log: Path,
        answer: Callable[[Moved], None],
        place: Callable[[], MoverPlace] = lambda: mover_place(os.environ),
    ) -> None:
        self._greeting, self._log, self._answer, self._place = greeting, log, answer, place
        self._epoch = ""
        self._open: dict[_Key, MoveRequest] = {}
        self._canceled: set[_Key] = set()
        self._released: deque[MoveRequest] = deque(maxlen=_RELEASES_KEPT)
        self._process: MoverProcess | None = None
        self._is_fresh = True
        """Whether no mover has answered yet: no unit uses what one has brought."""
        self._starts = 0
        """Since a mover last answered."""
        self._end: asyncio.Event | None = None

    def pids(self) -> Collection[int]:
        """Return the mover's process, if there is one."""
        return () if self._process is None else (self._process.pid,)

    def know(self, epoch: str) -> None:
        """Note the pilot's epoch. Before the first one nothing is asked."""
        self._epoch = epoch
        if self._process is not None:
            self._process.tell({"epoch": epoch})
        elif self._open:
            self._start()

    def serve(self) -> None:
        """Have a mover, without a request: it makes replicas near the pilot that others ask for."""
        if self._process is None and self._epoch and self._starts < MOST_STARTS:
            self._start()

    def ask(self, requests: Iterable[MoveRequest]) -> None:
        """Send requests; those that ask for an answer get it, later."""
        for request in requests:
            self._note(request)
            if self._process is not None:
                self._process.tell(_line(request))
        if self._process is None and self._open and self._epoch:
            self._start()

    def _note(self, request: MoveRequest) -> None:
        if request.do == "release":
            self._released.append(request)
        elif request.do == "cancel":
            self._canceled.update(key for key in self._open if key[:2] == (request.id, request.attempt))
        else:
            self._open[request.id, request.attempt, request.do] = request

    # --- the process ---

    def _start(self) -> None:
        self._give_up_canceled()
        self._starts += 1
        try:
            self._process = MoverProcess(self._place(), self._log, self._hear, self._lose)
        except (PilotError, OSError) as error:
            logger.error("mover.missing %s", error, extra={"action": "mover.missing"})
            self._give_up(str(error))
            return
        logger.info("mover.started pid=%d", self._process.pid, extra={"action": "mover.started"})
        self._process.tell({**self._greeting, "fresh": self._is_fresh})
        self._process.tell({"epoch": self._epoch})
        for request in (*self._released, *self._open.values()):
            self._process.tell(_line(request))

    def _lose(self) -> None:
        """The mover has ended."""
        self._process = None
        if self._end is not None:
            self._end.set()
            return
        logger.error("mover.lost; its last words are in %s", self._log, extra={"action": "mover.lost"})
        self._give_up_canceled()
        if not self._open:
            return
        if self._starts >= MOST_STARTS:
            self._give_up(f"the mover ended {self._starts} times without an answer: {_last_words(self._log)}")
        else:
            self._start()

    def _give_up_canceled(self) -> None:
        for key in [key for key in self._open if key in self._canceled]:
            self._settle(key, CANCELED)

    def _give_up(self, error: str) -> None:
        for key in list(self._open):
            self._settle(key, error)

    def _settle(self, key: _Key, error: str, *, is_stale: bool = False) -> None:
        if self._open.pop(key, None) is not None:
            self._canceled.discard(key)
            self._answer(Moved(*key, error, is_stale))

    def _hear(self, line: str) -> None:
        try:
            said = json.loads(line)
            key = (str(said["unit"]), int(said["attempt"]), str(said["did"]))
            error, is_stale = str(said["error"]), bool(said.get("stale"))
        except (ValueError, TypeError, KeyError) as problem:
            logger.error(
                "mover.misunderstood %r: %.200s", problem, line, extra={"action": "mover.misunderstood"}
            )
            return
        self._starts, self._is_fresh = 0, False
        self._settle(key, error, is_stale=is_stale)

    async def stop(self, patience_s: float) -> None:
        """End the mover: it stops what it does, and is killed if that takes too long."""
        process = self._process
        if process is None:
            return
        self._end = asyncio.Event()
        process.close()
        try:
            await asyncio.wait_for(self._end.wait(), patience_s)
        except asyncio.TimeoutError:
            process.kill()


def greeting(config: AgentConfig, url: str) -> dict[str, Any]:
    """Return what the mover is told first: who it works for, and how Redis is reached from here."""
    return {
        "session": config.session,
        "coordination_url": url,
        "key_hex": config.key.hex(),
        "pilot": config.pilot,
        "label": config.label,
        "sandbox": str(config.sandbox),
        "cache_mb": config.cache_mb,
        "transfers": config.mover_transfers,
    }


def _line(request: MoveRequest) -> dict[str, Any]:
    line: dict[str, Any] = {"do": request.do, "unit": request.id, "attempt": request.attempt}
    if request.do in ("in", "out"):
        line.update(folder=request.folder, data=request.data, transfers=request.transfers)
    return line


def _last_words(log: Path) -> str:
    """Return the last line that was written to a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _WORDS_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError as error:
        return f"its log {log} cannot be read: {error.strerror}"
    return next((line.strip() for line in reversed(lines) if line.strip()), f"nothing was said in {log}")
