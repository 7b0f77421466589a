"""The bench of the fault tests: a Redis server, one session on it, agents as real processes, and the ground truth.

Agents are started as the client would start them, `python -m pilot_agent --config …`, but by nobody who looks after them: a
test kills what it wants and counts what is left. All processes of one agent, its units too, carry a mark in their
environment, by which they are found.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from exec_log import ExecLog
from marked_processes import GONE_S, marked, wait_for_end
from pilot_protocol.signing import KEY_BYTES
from pilot_protocol.version import PROTOCOL
from protocol_client import PATIENCE_S, SESSION, ProtocolClient
from redis_process import RedisProcess

_MARK = "FAULT_TEST"
_HEAD, _EXECUTOR = "--head", "pilot_agent.node.executor"


class AgentProcess:
    """One agent: its settings file, its supervisor as a child of this process, and everything below.

    Args:
        folder: Where its settings, its sandbox and what it says on stderr are kept.
        settings: The content of its settings file.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.pilot: str = settings["pilot"]
        self.sandbox = Path(settings["sandbox"])
        self._mark = f"{_MARK}={secrets.token_hex(8)}"
        self._said = folder / f"{self.pilot}.stderr"
        path = folder / f"{self.pilot}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(settings))
        name, _, value = self._mark.partition("=")
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pilot_agent", "--config", path],
                env={**os.environ, name: value},
                stdin=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )

    # --- looking ---

    def everything(self) -> dict[int, str]:
        """Return the command line of each process of the agent and of its units, by pid."""
        return marked(self._mark)

    @property
    def head(self) -> int:
        """Pid of the head."""
        (found,) = [pid for pid, command in self.everything().items() if _HEAD in command]
        return found

    @property
    def executors(self) -> list[int]:
        """Pids of the executors."""
        return [pid for pid, command in self.everything().items() if _EXECUTOR in command]

    @property
    def said(self) -> str:
        """What it has written to stderr."""
        return self._said.read_text(errors="replace")

    def memory_kb(self, pid: int) -> int:
        """Return the resident memory of one of its processes."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (size,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
        return int(size)

    # --- harming ---

    def kill(self, *pids: int) -> None:
        """Kill processes, all at once."""
        for pid in pids:
            with suppress(
                ProcessLookupError
            ):  # what looked like an executor was a unit that had not begun yet
                os.kill(pid, signal.SIGKILL)

    def kill_whole(self) -> None:
        """Kill supervisor, head and executors; nobody is left to look after the units."""
        self.kill(self.process.pid, self.head, *self.executors)
        self.process.wait()

    # --- ending ---

    def wait(self, limit_s: float = PATIENCE_S) -> int:
        """Wait for the end of the agent and return its exit code."""
        assert wait_for_end(self.process.pid, limit_s), f"the agent lives on; it said:\n{self.said}"
        return self.process.wait()

    def left_after(self, limit_s: float = GONE_S) -> list[str]:
        """Return the command lines of processes that are still there when all had this time to go."""
        deadline_s = time.monotonic() + limit_s
        while found := self.everything():
            for pid in found:
                if not wait_for_end(pid, max(deadline_s - time.monotonic(), 0.0)):
                    return list(self.everything().values())
        return []

    def sweep_up(self) -> None:
        """Kill whatever is left."""
        while found := self.everything():
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                wait_for_end(pid)
        self.process.wait()


class FaultBench:
    """A server, a session, a client, agents, and what is counted at the end; made by `fault_bench`.

    Args:
        folder: An empty folder.
        server: A server that runs.
        client: A client of the session.
        key: The session's.
    """

    def __init__(self, folder: Path, server: RedisProcess, client: ProtocolClient, key: bytes) -> None:
        self.folder = folder
        self.server = server
        self.client = client
        self.log = ExecLog(folder / "exec.log")
        self.agents: list[AgentProcess] = []
        self._key = key

    def close(self) -> None:
        """End everything; what agents have said is shown where the test has failed."""
        for agent in self.agents:
            agent.sweep_up()
            sys.stderr.write(f"--- the agent of {agent.pilot} said:\n{agent.said}\n")
        self.client.close()
        self.server.stop()

    def launch(
        self,
        pilot: str = "p-aaaaaaaa",
        *,
        url: str = "",
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> AgentProcess:
        """Start an agent, whatever becomes of it."""
        content = {
            "coordination_url": url or self.server.url,
            "session": SESSION,
            "key": self._key.hex(),
            "pilot": pilot,
            "cores": 2,
            "lease_s": self.client.lease_s,
            "sandbox": str(self.folder / pilot),
            "options": {"grace_s": 0.5, **(options or {})},
            **settings,
        }
        agent = AgentProcess(self.folder, content)
        self.agents.append(agent)
        return agent

    def start_agent(self, pilot: str = "p-aaaaaaaa", **settings: Any) -> AgentProcess:
        """Start an agent as `launch` does and wait until its pilot runs."""
        self.client.prepare_pilot(pilot)
        agent = self.launch(pilot, **settings)
        self.client.wait_for_pilot(pilot, "Running")
        return agent

    def wait_for_ended(self, count: int) -> None:
        """Wait until so many units have ended."""
        self.client.wait(lambda seen: len(seen.in_state("DFC")) >= count)

    def recovery_s(self, fault: Callable[[], object]) -> float:
        """Let a fault happen; return how long it takes until the next unit ends."""
        fault()
        began_s = time.monotonic()
        ended = len(self.client.seen.in_state("DFC"))
        self.wait_for_ended(ended + 1)
        return time.monotonic() - began_s

    def check_all_done(self, ids: Sequence[str], *, server_forgot: bool = False) -> None:
        """Wait for all units; none may be lost, and none may have ended twice or otherwise than Done.

        Args:
            ids: The units.
            server_forgot: Whether the server went back in time, so that the same end may have been told twice.
        """
        self.client.wait_for_ends(ids)
        if server_forgot:
            self.client.wait(lambda _: set(self.client.letters(ids)) <= set("DFC"))
        letters = self.client.letters(ids)
        ends = self.client.seen.ends
        twice = [key for key, count in ends.items() if count > (2 if server_forgot else 1)]
        lost = [name for name, letter in zip(ids, letters, strict=True) if letter != "D"]
        assert (lost, twice) == ([], [])
        assert not self.log.never_started(ids)

    def tell(self, fault: str, **figures: object) -> None:
        """Print what a test has counted."""
        facts = ", ".join(
            f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
            for name, value in figures.items()
        )
        print(f"FAULT {fault}: started again {self.log.started_again()}, {facts}")


@contextmanager
def fault_bench(
    folder: Path,
    *,
    lease_s: float = 2.0,
    appends: bool = False,
    password: str = "",
    protocol: str = PROTOCOL,
) -> Iterator[FaultBench]:
    """Give a bench with a server and an open session; nothing is left of it afterwards.

    Args:
        folder: An empty folder.
        lease_s: Of the session and its agents.
        appends: Whether the server has everything on disk before it answers.
        password: Of the server.
        protocol: The version that the session is given.
    """
    server = RedisProcess(folder / "redis", password=password, appends=appends)
    server.start()
    key = secrets.token_bytes(KEY_BYTES)
    bench = FaultBench(folder, server, ProtocolClient(server.url, key, lease_s, protocol), key)
    try:
        yield bench
    finally:
        bench.close()
