"""Serves the requests of an agent: some at once, each answered once, in any order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from pilot_data.errors import CanceledError, StaleAttemptError
from pilot_data.job import Job
from pilot_protocol.errors import CoordinationError, PilotError
from pilot_protocol.operation import NoSessionError

from .messages import IN, Answer, Cancel, Epoch, Message, Release, Request
from .node import Node
from .serving import Serving

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
"""Between tries to reach the catalogue."""
CANCELED = "canceled"
GRACE_S = 10.0
"""How long requests that are canceled because the agent is gone may take to tidy up."""


class Mover:
    """The requests of one agent.

    Args:
        node: This machine.
        answer: Is given the answers, by one thread at a time.
    """

    def __init__(self, node: Node, answer: Callable[[Answer], None]) -> None:
        self._node = node
        self._answer = answer
        self._serving = Serving(node)
        self._waiting: SimpleQueue[tuple[Request, Job]] = SimpleQueue()
        self._jobs: dict[tuple[str, int, str], Job] = {}
        self._changed = threading.Condition()
        for number in range(node.settings.transfers):
            threading.Thread(target=self._serve, name=f"mover-{number}", daemon=True).start()

    def handle(self, message: Message) -> None:
        """Do what the agent says, or begin to."""
        if isinstance(message, Epoch):
            self._begin_serving()
            self._node.epoch = message.epoch
        elif isinstance(message, Request):
            self._begin(message)
        elif isinstance(message, Cancel):
            self._cancel(lambda key: key[:2] == (message.unit, message.attempt))
        elif isinstance(message, Release):
            self._release(message)

    def close(self) -> bool:
        """Cancel everything; return whether that has ended in time."""
        self._cancel(lambda _key: True)
        self._serving.close(GRACE_S)
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs, GRACE_S)

    def _begin_serving(self) -> None:
        if not self._node.epoch:
            self._serving.start()

    def _begin(self, request: Request) -> None:
        job = Job()
        with self._changed:
            if self._jobs.setdefault(request.key, job) is not job:
                return  # it is being served
        self._waiting.put((request, job))

    def _cancel(self, is_meant: Callable[[tuple[str, int, str]], bool]) -> None:
        with self._changed:
            jobs = [job for key, job in self._jobs.items() if is_meant(key)]
        for job in jobs:
            job.cancel()
        if jobs:
            self._node.wake()

    def _release(self, message: Release) -> None:
        """Let go of what an attempt uses. Where the system refuses, that stays, and everything else goes on."""
        try:
            self._node.cache.release(message.unit, message.attempt)
        except OSError as error:
            logger.warning("release.failed %s: %s", message.unit, error, extra={"action": "release.failed"})

    def _serve(self) -> None:
        while True:
            request, job = self._waiting.get()
            answer = self._served(request, job)
            with self._changed:
                del self._jobs[request.key]
                self._answer(answer)
                self._changed.notify_all()

    def _served(self, request: Request, job: Job) -> Answer:
        """Serve a request: the boundary that turns whatever goes wrong with one into its answer."""
        moved = _Moved()
        job.on_bytes = moved.add
        try:
            job.check()
            linked = self._move_when_possible(request, job)
            return Answer(request, "", moved.bytes, linked)
        except CanceledError:
            return Answer(request, CANCELED, moved.bytes)
        except PilotError as error:
            logger.warning("request.failed %s %s: %s", request.do, request.unit, error,
                           extra={"action": "request.failed"})  # fmt: skip
            return Answer(request, str(error), moved.bytes, is_stale=isinstance(error, StaleAttemptError))
        except OSError as error:
            logger.exception("request.failed", extra={"action": "request.failed"})
            return Answer(request, f"this machine refuses: {error}", moved.bytes)
        except Exception as error:
            logger.exception("request.defect", extra={"action": "request.defect"})
            return Answer(request, f"a defect of the mover, {type(error).__name__}: {error}", moved.bytes)

    def _move_when_possible(self, request: Request, job: Job) -> int:
        """Move, as soon as the catalogue can be asked. How long that may take is the agent's to decide, which cancels then."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return self._move(request, job)
            except NoSessionError:
                raise
            except CoordinationError as error:
                if not error.transient:
                    raise
                logger.warning("request.waits %s %s: %s", request.do, request.unit, error,
                               extra={"action": "request.waits"})  # fmt: skip
            job.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _move(self, request: Request, job: Job) -> int:
        if request.do == IN:
            from .stage_in import stage_in

            return stage_in(self._node, request, job)
        from .stage_out import stage_out

        stage_out(self._node, request, job)
        return 0


class _Moved:
    """Counts bytes, of any number of threads."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.bytes += count
