"""A head for tests: starts a real executor, orders units, and waits for what it reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pilot_agent.journal import Recovery, read_records, recover, segments
from pilot_agent.node.frames import FrameDecoder, encode, frame_of
from pilot_agent.node.launcher import StartedExecutor, start_executor

PATIENCE_S = 30.0
"""How long a test waits for a message that does not come before it fails."""

CORES = sorted(os.sched_getaffinity(0))


def encode_frame(value: object) -> bytes:
    """Return a value as one frame."""
    return frame_of(encode(value))


class Head:
    """The head's side of one executor, blocking.

    Args:
        sandbox: The pilot's folder.
        start: What starts the executor, as `start_executor` does.
    """

    def __init__(self, sandbox: Path, start: Callable[..., StartedExecutor] = start_executor) -> None:
        self.sandbox = sandbox
        self.journal = sandbox / "journal"
        self.pid, self.socket = start(str(sandbox), 0, str(self.journal))
        self.socket.settimeout(PATIENCE_S)
        self._decoder = FrameDecoder()
        self._frames: list[Any] = []
        self.started: dict[str, int] = {}
        """Pid of each unit that was reported as started."""
        self.ends: dict[str, dict[str, Any]] = {}
        self.successors: dict[str, str | None] = {}
        self.retracted: list[str] = []
        self.hello = self._receive()

    def close(self) -> None:
        """Close the connection, as a head that dies does, and wait until the executor is gone."""
        self.socket.close()
        if self.pid:
            self.wait_gone()

    def wait_gone(self) -> int:
        """Reap the executor; return its exit code."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def order(self, unit: str, argv: Sequence[str], **keys: Any) -> dict[str, Any]:
        """Return an order for the first core; `keys` replace what is the same for most."""
        return {
            "id": unit,
            "attempt": 1,
            "exe": argv[0],
            "args": list(argv[1:]),
            "cores": CORES[:1],
            "sandbox": str(self.sandbox / unit),
            **keys,
        }

    def send(self, verb: str, *argument: Any) -> None:
        """Send one frame."""
        self.socket.sendall(encode_frame([verb, *argument]))

    def start(self, *orders: Any) -> None:
        """Send orders in one frame."""
        self.send("start", list(orders))

    def run(self, unit: str, argv: Sequence[str], **keys: Any) -> dict[str, Any]:
        """Order one unit and wait for its end."""
        self.start(self.order(unit, argv, **keys))
        return self.end(unit)

    def shell(self, unit: str, script: str, **keys: Any) -> dict[str, Any]:
        """Order a unit that is a shell script, in which only the shell expands names, and wait for its end."""
        return self.run(unit, ["/bin/sh", "-c", script], expand=False, **keys)

    def end(self, unit: str) -> dict[str, Any]:
        """Wait for the end of a unit."""
        while unit not in self.ends:
            self.next_events()
        return self.ends[unit]

    def wait_started(self, unit: str) -> int:
        """Wait until a unit is reported as started; return its pid."""
        while unit not in self.started:
            self.next_events()
        return self.started[unit]

    def swept(self) -> list[str]:
        """Wait for the answer to a sweep; return its units."""
        verb, units = self._receive()
        assert verb == "swept"
        return list(units)

    def next_events(self) -> dict[str, Any]:
        """Wait for the next report."""
        verb, events = self._receive()
        assert verb == "events"
        self.started.update({unit: pid for unit, _, pid, _ in events["started"]})
        for unit, _, end, successor in events["ended"]:
            assert unit not in self.ends, f"{unit} ended twice"
            self.ends[unit] = end
            self.successors[unit] = successor
        self.retracted += events["retracted"]
        return dict(events)

    def rest(self) -> None:
        """Take in all reports until the executor closes the connection."""
        while (data := self.socket.recv(65536)) != b"":
            self._frames += self._decoder.feed(data)
        while self._frames:
            self.next_events()

    def records(self) -> list[list[Any]]:
        """Return what the journal says."""
        return read_records(str(self.journal), segments(str(self.journal)))

    def recovery(self) -> Recovery:
        """Return what the journal tells a new head."""
        return recover(self.records())

    def _receive(self) -> Any:
        while not self._frames:
            data = self.socket.recv(65536)
            assert data, "the executor closed the connection"
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)


class Signpost:
    """A named pipe between test and units: lines in one direction, or its end once all who could write are dead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(self.path)
        # Opened for both, it neither waits for a writer nor ends before the first one comes.
        self._fd = os.open(self.path, os.O_RDWR)
        self._reader = os.open(self.path, os.O_RDONLY)

    def line(self) -> str:
        """Wait for a line."""
        read = b""
        while not read.endswith(b"\n"):
            read += os.read(self._reader, 1)
        return read.decode().strip()

    def write(self, line: str) -> None:
        """Let a unit read a line."""
        os.write(self._fd, f"{line}\n".encode())

    def wait_for_silence(self) -> None:
        """Wait until no process has the pipe open for writing, and take in what was written."""
        os.close(self._fd)
        while os.read(self._reader, 65536):
            continue
        os.close(self._reader)
