"""The bench of pilots with several nodes: an emulated cluster, a Redis server that its nodes reach, and what is left on each host.

The agent is started on a node as a batch job would be: inside a job of Slurm, or as a job of PBS whose nodes are reached by ssh.
Every host has its own process ids, so what runs there is known without any mark.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

import netns_slurm
from exec_log import ExecLog
from netns_cluster import NetnsCluster
from netns_host import NetnsHost
from pilot_protocol import reads
from pilot_protocol.signing import KEY_BYTES
from protocol_client import SERVICE, SESSION, ProtocolClient
from real_redis import server_program
from until import until

LEASE_S = 5.0
GONE_S = 15.0
LIMIT_S = 120.0
"""How long a node may take to be lost, or to be back in Slurm: it is timers of the kernel and of Slurm that are waited for."""
NODES = ("node1", "node2", "node3", "node4")
"""Of the cluster that tests share."""
CORES = 2
"""Of each node of a job."""
PER_NODE = min(len(os.sched_getaffinity(0)), CORES)
"""As many of them as this machine has."""
_PORT = 6390
PILOT = "p-aaaaaaaa"


def processes(host: NetnsHost) -> dict[int, str]:
    """Return the command line of each process of a host, by pid on this machine."""
    own = os.readlink(f"/proc/{host.init}/ns/pid")
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "ns" / "pid") == own:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:
                    found[int(entry.name)] = command
    return found


class NodeBench:
    """One session on a cluster, with one pilot.

    Args:
        cluster: A cluster that runs.
        nodes: The nodes of the pilot's job; its agent runs on the first one.
    """

    def __init__(self, cluster: NetnsCluster, nodes: Sequence[str]) -> None:
        self.cluster, self.nodes = cluster, list(nodes)
        self.folder = cluster.shared / secrets.token_hex(4)
        self.folder.mkdir()
        self.log = ExecLog(self.folder / "exec.log")
        self.sandbox = self.folder / PILOT
        self._key = secrets.token_bytes(KEY_BYTES)
        self._before = {name: set(processes(host)) for name, host in cluster.hosts.items()}
        self.client = ProtocolClient(f"redis://{cluster.head_address}:{_PORT}", self._key, LEASE_S)
        self.client.prepare_pilot(PILOT)

    # --- starting ---

    def write_settings(self, **settings: Any) -> Path:
        """Write the agent's settings, into the sandbox as the client does; returns their path."""
        self.sandbox.mkdir(mode=0o700, exist_ok=True)
        path = self.sandbox / "agent.json"
        path.touch(mode=0o600)
        content = {
            "coordination_url": f"redis://head:{_PORT}",
            "session": SESSION,
            "key": self._key.hex(),
            "pilot": PILOT,
            "service": SERVICE,
            "cores": None,
            "lease_s": LEASE_S,
            "sandbox": str(self.sandbox),
            **settings,
            "options": {"grace_s": 0.5, **settings.get("options", {})},
        }
        path.write_text(json.dumps(content))
        return path

    def start_by_ssh(self, **settings: Any) -> None:
        """Start the agent on the first node; it reaches the others by ssh."""
        settings = {**settings, "options": {"node_launcher": "ssh", **settings.get("options", {})}}
        hosts = self.folder / "hosts"
        hosts.write_text("".join(f"{node}\n" * CORES for node in self.nodes))
        job = ["env", "PBS_JOBID=7.head", f"PBS_NODEFILE={hosts}"]
        self._script([*job, *self._agent(settings)])
        self.cluster.hosts[self.nodes[0]].start("/bin/sh", self.folder / "job.sh")

    def start_by_slurm(self, **settings: Any) -> None:
        """Start the agent in a job of Slurm; it reaches the other nodes by srun."""
        hosts = self.cluster.hosts
        nodes = [hosts[name] for name in self.nodes]
        # A node whose network was cut by a test before this one has to be believed in again.
        self.until(lambda: netns_slurm.is_ready(hosts["head"], nodes), "Slurm's nodes")
        self._script(self._agent(settings))
        count = str(len(self.nodes))
        hosts["head"].run(
            "sbatch",
            *("-N", count, f"--ntasks-per-node={CORES}", "-w", ",".join(self.nodes)),
            *("-o", "/dev/null", self.folder / "job.sh"),
        )

    def _agent(self, settings: dict[str, Any]) -> list[str]:
        return [sys.executable, "-m", "pilot_agent", "--config", str(self.write_settings(**settings))]

    def _script(self, words: Sequence[str]) -> None:
        line = " ".join(words)
        (self.folder / "job.sh").write_text(f"#!/bin/sh\n{line} >>{self.folder}/agent.err 2>&1\n")

    def wait_for_nodes(self, *nodes: str) -> None:
        """Wait until the pilot runs, and check which nodes it has."""
        self.client.wait_for_pilot(PILOT, "Running")
        assert self.record()["nodes"] == ",".join(nodes), self.said

    # --- looking ---

    @property
    def said(self) -> str:
        """What the agent has written to standard error."""
        said = self.folder / "agent.err"
        return said.read_text(errors="replace") if said.exists() else ""

    def record(self) -> dict[str, str]:
        """Return the pilot's record."""
        found = self.client.query(reads.pilot(self.client.keys, PILOT))
        return {name: value.decode(errors="replace") for name, value in found.items()}

    def running(self, node: str, *words: str) -> list[int]:
        """Return the processes on a host, started since the bench was, whose command line has all of ``words``."""
        return [
            pid
            for pid, command in processes(self.cluster.hosts[node]).items()
            if pid not in self._before[node] and all(word in command for word in words)
        ]

    def one(self, node: str, *words: str) -> int:
        """Return the one process on a host whose command line has all of ``words``."""
        (found,) = self.running(node, *words)
        return found

    def kill(self, *pids: int) -> None:
        """Kill processes."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that no event tells."""
        until(condition, lambda: f"{what}; the agent said:\n{self.said}", LIMIT_S)

    def left(self) -> dict[str, list[str]]:
        """Return what is left on each host when all had time to go."""
        deadline_s = time.monotonic() + GONE_S
        while (found := self._left_now()) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        return found

    def _left_now(self) -> dict[str, list[str]]:
        found = {}
        for name, host in self.cluster.hosts.items():
            commands = [command for pid, command in processes(host).items() if pid not in self._before[name]]
            # Daemons have children for a while, and Slurm's steps outlive their job for a moment.
            left = [command for command in commands if "pilot_agent" in command or "exec.log" in command]
            if left:
                found[name] = left
        return found

    # --- ending ---

    def stop(self) -> None:
        """Stop the pilot as a client does, and wait for its end."""
        self.client.tell(PILOT, "stop")
        self.client.wait_for_pilot(PILOT, "Canceled", "Done")

    def close(self) -> None:
        """Leave nothing."""
        for name in self.cluster.hosts:
            self.kill(*self.running(name, "pilot_agent"), *self.running(name, "exec.log"))
        self.client.close()
        with suppress(OSError):
            sys.stderr.write(f"--- the agent said:\n{self.said}\n")

    def check_units(self, ids: Sequence[str]) -> None:
        """Wait for all units: each is Done, ended once, and none was started again after it had ended."""
        self.client.wait_for_ends(ids, LIMIT_S)
        letters = zip(ids, self.client.letters(ids), strict=True)
        lost = {name: self.client.result(name) for name, letter in letters if letter != "D"}
        twice = [key for key, count in self.client.seen.ends.items() if count > 1]
        assert not lost, lost
        assert not twice, twice
        assert not self.log.never_started(ids)

    def tell(self, fault: str, **figures: object) -> None:
        """Print what a test has counted."""
        facts = ", ".join(f"{name} {value}" for name, value in figures.items())
        print(f"NODES {fault}: started again {self.log.started_again()}, {facts}")


WAYS = {"ssh": NodeBench.start_by_ssh, "slurm": NodeBench.start_by_slurm}
"""How an agent reaches its other nodes."""


@contextmanager
def server_on_head(cluster: NetnsCluster) -> Iterator[None]:
    """Run a Redis server on the head of a cluster, for its nodes and for this machine, for the length of a block."""
    host = cluster.hosts["head"]
    host.start(server_program(), "--port", str(_PORT), "--save", "", "--protected-mode", "no")
    until(lambda: _serves(cluster.head_address), lambda: "a Redis server on the head")
    yield


def _serves(address: str) -> bool:
    with suppress(redis.ConnectionError), redis.Redis(address, _PORT) as client:
        return bool(client.ping())
    return False


@contextmanager
def node_bench(cluster: NetnsCluster, nodes: Sequence[str]) -> Iterator[NodeBench]:
    """Give a bench on an empty server; nothing is left of it afterwards."""
    with redis.Redis(cluster.head_address, _PORT) as client:
        client.flushall()
    bench = NodeBench(cluster, nodes)
    try:
        yield bench
    finally:
        bench.close()
