"""Agents that reach Redis through a real sshd: a tunnel that breaks, one that never opens, and none that is needed."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import recorded_jobs
from live_agent import PILOT, LiveAgent, LiveSession, live_session
from pilot_agent.exit_codes import ENDED, REFUSED
from pilot_agent.redis_link import LinkLostError
from pilot_agent.tunnel import Tunnel
from pilot_agent.tunnel_url import TunnelTarget
from ssh_server import SshServer, running_sshd

_NOWHERE = "redis://:secret%2Dword@redis.invalid:6379"
_SOCKET_FOLDER = f"/tmp/pilot-{os.geteuid()}-{PILOT}"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[SshServer]:
    with running_sshd(tmp_path / "ssh") as server:
        yield server


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LiveSession]:
    with live_session(tmp_path, password="secret-word") as session:
        yield session


def start(session: LiveSession, sshd: SshServer, **settings: Any) -> LiveAgent:
    """Start an agent whose coordination URL leads nowhere but through its tunnel."""
    tunnel = {"host": "login", "socket": str(session.server.socket)}
    wanted = {"coordination_url": _NOWHERE, "tunnel": tunnel, **settings}
    return session.start_agent(environment=sshd.environment, **wanted)


def tunnels(agent: LiveAgent) -> list[int]:
    return [
        pid
        for pid, command in agent.commands().items()
        if " -L " in command and "StreamLocalBindUnlink" in command
    ]


@pytest.mark.parametrize("to", ["socket", "address"])
def test_units_run_through_a_tunnel_and_nothing_of_it_is_left(
    session: LiveSession, sshd: SshServer, to: str
) -> None:
    end = str(session.server.socket) if to == "socket" else f"127.0.0.1:{session.server.port}"
    agent = start(session, sshd, tunnel={"host": "login", to: end})
    units = session.submit(*["echo through"] * 20)
    session.wait_for(units, "D")
    assert session.result(units[0]).stdout == "through\n"
    (ssh,) = tunnels(agent)
    status = os.stat(_SOCKET_FOLDER)
    assert (status.st_mode & 0o777, status.st_uid) == (0o700, os.geteuid())
    agent.process.terminate()
    assert agent.wait() == ENDED
    assert not os.path.exists(f"/proc/{ssh}")
    assert not os.path.exists(_SOCKET_FOLDER)
    assert "secret" not in agent.said


def test_a_tunnel_that_is_killed_while_units_run_loses_nothing(session: LiveSession, sshd: SshServer) -> None:
    agent, gate = start(session, sshd), session.folder / "gate"
    first = session.submit(*[f"until [ -e {gate} ]; do sleep 0.05; done; echo first"] * 2)
    session.wait_for(first, "R")
    for _ in range(3):
        (ssh,) = tunnels(agent)
        os.kill(ssh, signal.SIGKILL)
        session.wait(lambda ssh=ssh: tunnels(agent) not in ([ssh], []))  # type: ignore[misc]
    later = session.submit(*["echo later"] * 10)
    gate.touch()
    session.wait_for([*first, *later], "D")
    assert [session.states[name] for name in first] == [["R", "D"]] * 2
    assert "tunnel.ended host=login" in agent.said


def test_a_login_host_that_is_away_is_waited_for(session: LiveSession, sshd: SshServer) -> None:
    sshd.stop()
    agent = start(session, sshd)
    session.wait(lambda: "Connection refused" in agent.said)
    sshd.start()
    session.wait_for_pilot("Running")


def test_a_tunnel_survives_the_loss_of_an_executor_and_ends_with_the_head(
    session: LiveSession, sshd: SshServer
) -> None:
    agent = start(session, sshd)
    session.wait_for_pilot("Running")
    (ssh,) = tunnels(agent)
    executors = [pid for pid, command in agent.commands().items() if "node.executor" in command]
    os.kill(executors[0], signal.SIGKILL)
    units = session.submit(*["echo again"] * 4)
    session.wait_for(units, "D")
    assert tunnels(agent) == [ssh]
    (head,) = [pid for pid, command in agent.commands().items() if "--head" in command]
    os.kill(head, signal.SIGKILL)
    session.wait(lambda: tunnels(agent) not in ([ssh], []))
    units = session.submit("echo and again")
    session.wait_for(units, "D")


def test_signals_to_all_processes_leave_the_tunnel_open_until_the_end_is_told(
    session: LiveSession, sshd: SshServer
) -> None:
    agent = start(session, sshd)
    session.wait_for_pilot("Running")
    for pid in agent.below():
        os.kill(pid, signal.SIGTERM)
    agent.process.terminate()
    session.wait_for_pilot("Done")
    assert agent.wait() == ENDED
    assert "tunnel.ended" not in agent.said


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(SshServer.turn_away, "Permission denied"), (SshServer.be_a_stranger, "Host key verification failed")],
    ids=["permission", "host key"],
)
def test_an_agent_that_is_not_let_in_says_what_ssh_said(
    session: LiveSession, sshd: SshServer, spoil: Any, words: str
) -> None:
    spoil(sshd)
    agent = start(session, sshd)
    assert agent.wait() == REFUSED
    last = agent.said.splitlines()[-1]
    assert last.startswith("pilot-agent: the tunnel to login cannot be opened: ")
    assert words in last
    assert not os.path.exists(_SOCKET_FOLDER)


def test_a_machine_without_ssh_is_told(session: LiveSession, sshd: SshServer) -> None:
    (sshd.bin / "ssh").unlink()
    tunnel = {"host": "login", "address": "127.0.0.1:1"}
    agent = session.start_agent(environment={"PATH": str(sshd.bin)}, tunnel=tunnel)
    assert agent.wait() == REFUSED
    assert "ssh cannot be started: No such file or directory" in agent.said.splitlines()[-1]


def test_the_host_of_the_tunnel_is_where_the_job_was_submitted(session: LiveSession, sshd: SshServer) -> None:
    job = {**recorded_jobs.SLURM, "SLURM_JOB_END_TIME": "9999999999", "SLURM_SUBMIT_HOST": "login7"}
    tunnel = {"host": "", "socket": str(session.server.socket)}
    session.start_agent(environment={**job, **sshd.environment}, coordination_url=_NOWHERE, tunnel=tunnel)
    session.wait_for_pilot("Running")


@pytest.mark.parametrize("host", ["", "localhost", f"me@{socket.gethostname()}"])
def test_an_agent_on_the_very_host_needs_no_tunnel(session: LiveSession, host: str) -> None:
    tunnel = {"host": host, "address": f"127.0.0.1:{session.server.port}"}
    agent = session.start_agent(coordination_url=_NOWHERE, tunnel=tunnel)
    session.wait_for_pilot("Running")
    assert tunnels(agent) == []


def test_a_tunnel_to_nobody_knows_where_is_refused(session: LiveSession) -> None:
    job = {**recorded_jobs.SLURM, "SLURM_JOB_END_TIME": "9999999999", "SLURM_SUBMIT_HOST": ""}
    agent = session.start_agent(environment=job, tunnel={"host": "", "socket": "/s"})
    assert agent.wait() == REFUSED
    assert "slurm does not tell where job 7 was submitted; name the host of the tunnel" in agent.said


def test_a_node_that_has_no_room_for_another_process_is_no_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def spawn(*_args: object, **_more: object) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "posix_spawn", spawn)
    tunnel = Tunnel("login", TunnelTarget("login", "/redis.sock"), str(tmp_path))
    with pytest.raises(LinkLostError, match="login cannot be opened now: Resource temporarily unavailable"):
        asyncio.run(tunnel.open())
    assert set(os.listdir("/proc/self/fd")) == before
