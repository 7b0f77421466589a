"""Pilots whose agents come to Redis through SSH alone, on a small cluster: from its head, and from this machine."""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from closed_sessions import close_sessions
from netns_cluster import NODES, NetnsCluster, running_cluster
from netns_host import NetnsHost
from pilot import ComputeDataService, ComputeUnit, PilotComputeService, State
from pilot.submission import systems
from pilot.submission.ssh import reverse_tunnel
from process_tree import command_line, descendants
from until import until

pytestmark = pytest.mark.timeout(180)

LIMIT_S = 60.0
UNITS = 100
FOLDER = "/root/agent"
"""On the cluster, common to its hosts."""

ON_THE_HEAD = """\
import json, sys
from pilot import ComputeDataService, PilotComputeService, State

with PilotComputeService() as pilots, ComputeDataService() as work:
    work.add_pilot_compute_service(pilots)
    pilot = pilots.create_pilot(json.loads(sys.argv[1]))
    if pilot.wait(50, State.Running) is State.Running:
        units = work.submit_compute_units([{"executable": "/bin/hostname"}] * 4)
        print(*[unit.result().stdout().strip() for unit in units])
    else:
        print(pilot.state.name, pilot.details["message"])
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[NetnsCluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def laptop(cluster: NetnsCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this process a client that reaches the cluster's head by SSH, and soon notices that it does not."""
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "PILOT_COORDINATION_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    impatient = replace(cluster.options, alive_interval_s=1, connect_limit_s=2)
    monkeypatch.setattr(systems, "_ssh_options", lambda: impatient)
    monkeypatch.setattr(reverse_tunnel, "PAUSES_S", (0.0, 0.5))
    yield
    close_sessions()


@pytest.fixture
def news() -> Iterator[queue.SimpleQueue[str]]:
    """What becomes of tunnels: ``lost`` and ``open``."""
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kind, _, change = getattr(record, "action", "").partition(".")
            if kind == "tunnel" and change in ("lost", "open"):
                heard.put(change)

    listener, logger = Listener(), logging.getLogger("pilot.submission.systems")
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    yield heard
    logger.setLevel(level)
    logger.removeHandler(listener)


def on_the_head(cluster: NetnsCluster, **more: Any) -> str:
    """Run a program on the head that starts a pilot in the batch system there; return what it prints."""
    program = cluster.shared / "client.py"
    program.write_text(ON_THE_HEAD)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin"
    variables = ["HOME=/root", f"PATH={path}", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"]
    given = json.dumps(description("slurm://localhost", **more))
    return cluster.hosts["head"].run("env", "-i", *variables, sys.executable, program, given)


def description(service_url: str, **more: Any) -> dict[str, Any]:
    return {
        "service_url": service_url,
        "number_of_processes": 2,
        "walltime": 10,
        "working_directory": FOLDER,
        **more,
    }


def check_clean(cluster: NetnsCluster) -> None:
    """Assert that no host has a process of a pilot, a tunnel's socket, a job, or a file with secrets."""
    for host in cluster.hosts.values():
        until(lambda host=host: not is_used(host))  # type: ignore[misc]
    head = cluster.hosts["head"]
    until(lambda: head.run("squeue", "-h") == "")
    assert head.run("find", FOLDER, "-name", "agent.json") == ""


def is_used(host: NetnsHost) -> bool:
    processes = host.run("ps", "-eo", "args")
    return f"{FOLDER}/" in processes or "redis.sock" in processes or "pilot-" in host.run("ls", "/tmp")


def test_from_the_head_a_node_comes_back_through_the_head(cluster: NetnsCluster) -> None:
    told = on_the_head(cluster, tunnel=True).split()
    assert len(told) == 4
    assert set(told) < set(NODES)
    check_clean(cluster)


def test_without_a_tunnel_a_node_does_not_and_says_so(cluster: NetnsCluster) -> None:
    told = on_the_head(cluster, agent_options={"first_patience_s": 2})
    assert told.startswith("Failed the agent ended before it had started, exit code 3; it said last:")
    assert "no contact to Redis" in told
    assert "'tunnel': True" in told
    check_clean(cluster)


@pytest.mark.parametrize(("scheme", "hosts"), [("slurm+ssh", set(NODES)), ("ssh", {"head"})])
@pytest.mark.usefixtures("laptop")
def test_from_this_machine_agents_come_back_to_it(
    cluster: NetnsCluster, scheme: str, hosts: set[str]
) -> None:
    with PilotComputeService() as pilots, ComputeDataService() as work:
        work.add_pilot_compute_service(pilots)
        pilot = pilots.create_pilot(description(f"{scheme}://head", tunnel=True))
        units = work.submit_compute_units([{"executable": "/bin/hostname"}] * 4)
        assert work.wait(LIMIT_S), pilot.details
        assert {unit.stdout().strip() for unit in units} <= hosts
    close_sessions()
    check_clean(cluster)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("pilot-")]


def cut_network(cluster: NetnsCluster, news: queue.SimpleQueue[str]) -> None:
    """Take the head from the network until the loss is noticed."""
    cluster.hosts["head"].link("link", "set", "eth0", "down")
    assert news.get(timeout=LIMIT_S) == "lost"
    cluster.hosts["head"].link("link", "set", "eth0", "up")


def kill_login(cluster: NetnsCluster, news: queue.SimpleQueue[str]) -> None:
    """Kill the master connection of this machine to the head."""
    (login,) = [
        pid
        for pid in descendants(os.getpid())
        if command_line(pid).startswith(f"ssh -F {cluster.config_file} -M")
    ]
    os.kill(login, signal.SIGKILL)
    assert news.get(timeout=LIMIT_S) == "lost"


@pytest.mark.faults
@pytest.mark.parametrize("cut", [cut_network, kill_login])
@pytest.mark.usefixtures("laptop")
def test_a_tunnel_that_is_cut_while_units_run_costs_none_and_repeats_none(
    cluster: NetnsCluster,
    news: queue.SimpleQueue[str],
    cut: Callable[[NetnsCluster, queue.SimpleQueue[str]], None],
) -> None:
    starts = cluster.shared / f"starts-{cut.__name__}"
    with PilotComputeService() as pilots, ComputeDataService() as work:
        work.add_pilot_compute_service(pilots)
        pilot = pilots.create_pilot(description("slurm+ssh://head", tunnel=True))
        units = work.submit_compute_units(
            [
                {"executable": "/bin/sh", "arguments": ["-c", f"echo {n} >>{starts}; exec sleep 0.3"]}
                for n in range(UNITS)
            ]
        )
        units[UNITS // 10].wait(LIMIT_S)
        cut(cluster, news)
        assert news.get(timeout=LIMIT_S) == "open"
        assert len(ended(units)) < UNITS
        assert work.wait(LIMIT_S), pilot.details
        assert {unit.state for unit in units} == {State.Done}
        assert sorted(starts.read_text().split()) == sorted(str(number) for number in range(UNITS))
    close_sessions()
    check_clean(cluster)


def ended(units: list[ComputeUnit]) -> list[ComputeUnit]:
    return [unit for unit in units if unit.state is State.Done]
