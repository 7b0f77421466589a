"""A helper process with radical.saga, as the application sees it: requests go in, answers come out within a time.

The invariant: a helper that was late, or broke the order of answers, is never asked again; its end ends all that it started.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pilot.submission.ssh.stand_ins import write_stand_ins
from pilot_protocol.errors import SubmissionError

END_LIMIT_S = 10.0
LAST_WORDS_LINES = 20
_NEUTRAL_FOLDER = "/"
"""`python -m` looks for modules in the current folder first; nobody but root puts one here."""


class HelperLostError(SubmissionError):
    """The helper did not answer in time, or is gone."""

    transient = True


class SagaProcess:
    """A running helper, which opens its connection at once.

    Args:
        url: What radical.saga connects to.
        ssh: Options for each client of OpenSSH that it calls.

    Raises:
        SubmissionError: It cannot be started, or there is no room for its files.
    """

    def __init__(self, url: str, ssh: Sequence[str] = ()) -> None:
        self._url = url
        self._ssh = ssh
        self._folder = _new_folder(url)
        self._buffer = b""
        self._last_id = 0
        self._last_words: deque[str] = deque(maxlen=LAST_WORDS_LINES)
        self._opened = False
        self._ended = False
        self._reading = threading.Lock()
        self._process = self._start()
        self._listener = threading.Thread(target=self._listen, name="pilot-saga-log", daemon=True)
        self._listener.start()
        self._opening = self._send("open", {})

    @property
    def pid(self) -> int:
        """Process id of the guardian."""
        return self._process.pid

    @property
    def works(self) -> bool:
        """Whether it can be asked: it was neither ended nor has it died."""
        return not self._ended and self._process.poll() is None

    def request(self, op: str, fields: dict[str, Any], limit_s: float) -> Any:
        """Ask and wait for the answer; the first answer also waits until the connection is open.

        Args:
            op: Name of the operation.
            fields: What it needs.
            limit_s: How long it may take.

        Raises:
            HelperLostError: It took longer, or the helper is gone; it has been ended.
            SubmissionError: What radical.saga said.
        """
        end = time.monotonic() + limit_s
        try:
            wanted = self._send(op, fields)
            if not self._opened:
                self._answer(self._opening, end)
                self._opened = True
            return self._answer(wanted, end)
        except HelperLostError as error:
            self.end()
            raise HelperLostError(f"{error}{self._in_words()}") from error
        except SubmissionError as error:
            if self._opened:
                raise
            self.end()  # without a connection it is of no use
            raise SubmissionError(
                f"radical.saga does not come up there: {error}; see whether the batch system's own commands work"
            ) from error

    def end(self) -> None:
        """End the helper and all that it started; can be called from any thread, and again."""
        self._ended = True
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(END_LIMIT_S)
        with self._reading:  # whoever reads has seen the end by now
            if self._process.stdout is not None:
                self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # the guardian did, unless it was killed

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pilot.submission.saga.helper", self._url, self._folder]
        try:
            return subprocess.Popen(
                command,
                cwd=_NEUTRAL_FOLDER,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(self._folder)
            raise SubmissionError(
                f"the helper for {self._url} cannot be started with {sys.executable}: {error.strerror}"
            ) from error

    def _environment(self) -> dict[str, str]:
        variables = dict(os.environ)
        if self._ssh:
            search_path = variables.get("PATH", os.defpath)
            stand_ins = Path(self._folder, "bin")
            write_stand_ins(stand_ins, self._ssh, search_path)
            variables["PATH"] = f"{stand_ins}{os.pathsep}{search_path}"
        return variables

    def _send(self, op: str, fields: dict[str, Any]) -> int:
        self._last_id += 1
        line = json.dumps({"id": self._last_id, "op": op, **fields}).encode() + b"\n"
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(line)
        except (OSError, ValueError) as error:  # broken pipe; closed by another thread
            raise HelperLostError(f"the helper for {self._url} is gone") from error
        return self._last_id

    def _answer(self, wanted: int, end: float) -> Any:
        with self._reading:
            answer = json.loads(self._line(end))
        if answer["id"] != wanted:
            raise HelperLostError(f"the helper for {self._url} answered {answer['id']}, not {wanted}")
        if "error" in answer:
            raise SubmissionError(answer["error"])
        return answer["result"]

    def _line(self, end: float) -> bytes:
        output = self._process.stdout
        if output is None or output.closed:
            raise HelperLostError(f"the helper for {self._url} is gone")
        poll = select.poll()
        poll.register(output, select.POLLIN)
        while b"\n" not in self._buffer:
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise HelperLostError(f"radical.saga at {self._url} did not answer in time")
            data = os.read(output.fileno(), 1 << 16)
            if not data:
                raise HelperLostError(f"the helper for {self._url} ended before it answered")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _listen(self) -> None:
        if self._process.stderr is None:
            return
        with self._process.stderr as errors:
            for line in errors:
                self._last_words.append(line.decode("utf-8", "replace")[:500].rstrip())

    def _in_words(self) -> str:
        said = [line for line in self._last_words if line]
        return "\n".join(["; it said last:", *(f"  {line}" for line in said[-5:])]) if said else ""


def _new_folder(url: str) -> str:
    try:
        return tempfile.mkdtemp(prefix="pilot-saga-")
    except OSError as error:
        raise SubmissionError(
            f"the helper for {url} gets no folder for temporary files: {error}; make room there or set TMPDIR"
        ) from error
