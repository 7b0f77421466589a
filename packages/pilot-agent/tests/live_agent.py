"""Agents as real processes on a real Redis server, with the least of a client: units in, ends out.

Agents are started as a batch system would start them: by a command line, with an environment, and nobody who looks after
them. Everything that is left of one when its test is over is killed.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pilot_agent.spawn.process_tree import ProcessTable
from pilot_protocol import pilot_ops, reads, unit_ops, unit_payloads
from pilot_protocol.keys import Keys, label_of, queue_name, shape_of
from pilot_protocol.messages import ControlOrder, UnitResult, seal_name
from pilot_protocol.operation import Operation, Query
from pilot_protocol.scripts import knows_flags, script
from pilot_protocol.signing import CANCEL, KEY_BYTES, RESULT, Seal
from pilot_protocol.version import PROTOCOL
from pilot_session.identifiers import new_id
from redis_process import RedisProcess

T = TypeVar("T")

SESSION, SERVICE, GROUP = "s-abcdefghijklmnop", "pcs-aaaaaaaa", "abcdef"
PILOT = new_id("p")
"""Of this process alone: agents share a folder in /tmp with others of the same pilot."""
PATIENCE_S = 45.0
_BLOCK_MS = 500
AGENT = (sys.executable, "-m", "pilot_agent")


class LiveAgent:
    """One agent: a supervisor that this process started, and what is below it.

    Args:
        folder: Where its settings and what it says are kept.
        settings: Content of its settings file.
        command: What runs the agent.
        environment: What it finds beside this process's environment.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        command: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.settings = folder / "agent.json"
        self.sandbox = Path(settings["sandbox"])
        self.settings.touch(mode=0o600)
        self.settings.write_text(json.dumps(settings))
        self._said = folder / "agent.err"
        self.process = self.run(command, environment)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start it, or start it again as a batch system does, with whatever settings are there."""
        with self._said.open("ab") as said:
            self.process = subprocess.Popen(
                [*command, "--config", str(self.settings)],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stderr=said,
                cwd="/",
                start_new_session=True,
            )
        return self.process

    @property
    def said(self) -> str:
        """What it has written to standard error."""
        return self._said.read_text(errors="replace")

    def below(self, pid: int = 0) -> list[int]:
        """Return the pids below one of its processes, the first one by default."""
        return ProcessTable.read().descendants(pid or self.process.pid)

    def commands(self) -> dict[int, str]:
        """Return the command line of each of its processes, by pid."""
        return {pid: _command(pid) for pid in [self.process.pid, *self.below()]}

    def wait(self) -> int:
        """Return its exit code."""
        return self.process.wait(PATIENCE_S)

    def kill_whole(self) -> None:
        """Kill all of it at once, as a node does that loses its power."""
        while pids := [self.process.pid, *self.below()]:
            for pid in pids:
                _signal(pid, signal.SIGSTOP)
            if set(self.below()) <= set(pids):
                break
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


class LiveSession:
    """One session on a server, with one pilot.

    Args:
        folder: An empty folder.
        server: A server that runs.
        lease_s: Of the session.
    """

    def __init__(self, folder: Path, server: RedisProcess, lease_s: float) -> None:
        self.folder, self.server, self.lease_s = folder, server, lease_s
        self.keys, self.key = Keys(SESSION), secrets.token_bytes(KEY_BYTES)
        self.seal = Seal(SESSION, self.key)
        self.client: Any = server.client()
        facts: Any = self.client.info("server")
        self._boot, self._flags = str(facts["run_id"]), knows_flags(str(facts["redis_version"]))
        self.states: dict[str, list[str]] = {}
        self.pilots: list[str] = []
        self._cursor, self._submitted = "0-0", 0
        self.agents: list[LiveAgent] = []
        self.run(pilot_ops.open_session(self.keys, PROTOCOL, int(lease_s * 1000)))
        self.run(pilot_ops.create_pilot(self.keys, PILOT, SERVICE, b""))

    def run(self, operation: Operation[T]) -> T:
        """Run an operation."""
        source = script(operation.script, flags=self._flags).source
        return operation.parse(
            self.client.eval(source, 1, operation.prefix, self._boot, *operation.arguments)
        )

    def query(self, query: Query[T]) -> T:
        """Run a read."""
        return query.parse(self.client.execute_command(*query.command))

    def start_agent(
        self,
        *,
        command: Sequence[str] = AGENT,
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> LiveAgent:
        """Start the pilot's agent."""
        content = {
            "coordination_url": self.server.url,
            "session": SESSION,
            "key": self.key.hex(),
            "pilot": PILOT,
            "cores": 2,
            "lease_s": self.lease_s,
            "sandbox": str(self.folder / PILOT),
            "options": {"grace_s": 0.5},
            **settings,
        }
        agent = LiveAgent(self.folder, content, command, environment or {})
        self.agents.append(agent)
        return agent

    def submit(self, *scripts: str, **more: Any) -> list[str]:
        """Submit units that are lines for a shell, with more keys of a description; returns their ids."""
        ids = [f"cu-{GROUP}-{self._submitted + number}" for number in range(len(scripts))]
        self._submitted += len(ids)
        payloads = [
            {"executable": "/bin/sh", "arguments": ["-c", line], "expand_arguments": False, **more}
            for line in scripts
        ]
        templates, sealed = unit_payloads.pack(self.seal, ids, payloads)
        queue = queue_name(PILOT, label_of(), shape_of(1, 1), 0)
        units = [unit_ops.NewUnit(name, queue, text, 0, 3, ()) for name, text in zip(ids, sealed)]
        self.run(unit_ops.submit(self.keys, GROUP, PILOT, units, templates))
        return ids

    def wait(self, is_reached: Callable[[], bool]) -> None:
        """Follow the session's events until something is reached."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_reached():
            assert time.monotonic() < deadline_s, self._not_reached()
            for event in self.query(reads.events(self.keys, self._cursor, _BLOCK_MS)):
                self._cursor = event.cursor
                self._take(event)

    def _not_reached(self) -> str:
        failed = [self.result(name) for name, letters in self.states.items() if letters[-1:] == ["F"]]
        said = [agent.said for agent in self.agents]
        return f"not reached; units: {self.states}; failed: {failed}; agents: {said}"

    def _take(self, event: reads.SessionEvent) -> None:
        for letter, names in event.units.items():
            for name in names:
                self.states.setdefault(name, []).append(letter)
        self.pilots += [state for name, state in event.pilots if name == PILOT]

    def wait_for_pilot(self, state: str) -> None:
        """Wait until the pilot has been in a state."""
        self.wait(lambda: state in self.pilots)

    def wait_for(self, ids: Sequence[str], letter: str) -> None:
        """Wait until all units have been in a state."""
        self.wait(lambda: all(letter in self.states.get(name, ()) for name in ids))

    def result(self, name: str) -> UnitResult:
        """Return the result of a unit."""
        (record,) = self.query(reads.units(self.keys, [name]))
        (sealed,) = self.query(reads.results(self.keys, [name]))
        assert record is not None, name
        assert sealed is not None, name
        return UnitResult.from_bytes(self.seal.open(RESULT, seal_name(name, record.attempt), sealed))

    def pilot(self) -> dict[str, str]:
        """Return the pilot's record."""
        found = self.query(reads.pilot(self.keys, PILOT))
        return {name: value.decode(errors="replace") for name, value in found.items()}

    def cancel(self, name: str) -> None:
        """Cancel a unit."""
        order = self.seal.close(CANCEL, name, ControlOrder("cancel", name).to_bytes())
        self.run(unit_ops.cancel(self.keys, [(name, order)]))

    def end_pilot(self) -> None:
        """End the pilot as a client does that knows it lost."""
        self.run(pilot_ops.end(self.keys, PILOT, "", pilot_ops.PilotEnd("Canceled", "canceled")))

    def close(self) -> None:
        """Leave nothing."""
        for agent in self.agents:
            agent.kill_whole()
            sys.stderr.write(f"--- the agent said:\n{agent.said}\n")
        self.client.close()


@contextmanager
def live_session(folder: Path, *, password: str = "", lease_s: float = 30.0) -> Iterator[LiveSession]:
    """Give a server, a session, and a pilot that is announced; nothing is left of them afterwards."""
    server = RedisProcess(folder / "redis", password=password)
    server.start()
    try:
        session = LiveSession(folder, server, lease_s)
        try:
            yield session
        finally:
            session.close()
    finally:
        server.stop()
