"""Where radical.saga hands jobs over: the helper process for one service URL, and what can be asked through it.

The invariant: at most one helper, started when first needed and again when it or the login it uses was lost, never after the
close.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .descriptions import SagaRequest
from .process import HelperLostError, SagaProcess
from .systems import ShellAnswer

FindLogin = Callable[[], Sequence[str]]


class SagaTarget:
    """A batch system as radical.saga reaches it.

    Every method but :meth:`warm_up` and :meth:`close` raises SubmissionError when there is no answer, and is called by one
    thread at a time.

    Args:
        url: What radical.saga connects to.
        limit_s: How long one answer may take.
        find_login: Returns the options by which radical.saga's ssh uses a login that is open; None: it logs in itself.
    """

    def __init__(self, url: str, limit_s: float, find_login: FindLogin | None = None) -> None:
        self._find_login = find_login
        self._url = url
        self._limit_s = limit_s
        self._exchange = threading.Lock()
        self._process: SagaProcess | None = None
        self._login: Sequence[str] = ()
        self._closed = False

    def warm_up(self) -> None:
        """Start the helper, which connects at once."""
        self._helper()

    def submit(self, request: SagaRequest) -> str:
        """Let radical.saga submit a job, and return its number."""
        return str(self._ask("submit", request.fields))

    def run(self, command: str) -> ShellAnswer:
        """Run a command line on the target."""
        answer = self._ask("shell", {"command": command})
        return ShellAnswer(int(answer["code"]), str(answer["text"]))

    def ask_saga(self, jobs: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Ask radical.saga for jobs: ``state`` and ``exit_code`` of each, or ``error``."""
        told: Mapping[str, Mapping[str, Any]] = self._ask("states", {"jobs": list(jobs)})
        return told

    def cancel_by_saga(self, jobs: Sequence[str]) -> Mapping[str, str]:
        """Let radical.saga cancel jobs; return what went wrong, by job."""
        failed: Mapping[str, str] = self._ask("cancel", {"jobs": list(jobs)})
        return failed

    def close(self) -> None:
        """End the helper; whoever waits for an answer of it gets an error."""
        with self._exchange:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.end()

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    @property
    def helper_pid(self) -> int | None:
        """Process id of the helper, None when there is none."""
        return None if self._process is None else self._process.pid

    def _ask(self, op: str, fields: dict[str, Any]) -> Any:
        return self._helper().request(op, fields, self._limit_s)

    def _helper(self) -> SagaProcess:
        with self._exchange:
            if self._closed:
                raise HelperLostError(f"the queue at {self._url} is closed")
            login = self._find_login() if self._find_login else ()
            # radical.saga hangs more often than not when the connection below it was lost.
            if self._process is not None and not (self._process.works and login == self._login):
                self._process.end()
                self._process = None
            if self._process is None:
                self._process, self._login = SagaProcess(self._url, login), login
            return self._process
