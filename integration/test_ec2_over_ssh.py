"""Whole pilots at EC2: an EC2 that starts nothing rents the instances, and each address of it leads to a real SSH server."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from child_program import GRACE_S, kill_all, wait_for_ends
from closed_sessions import close_sessions
from local_ec2 import REGION, LocalEc2, running_ec2
from pilot import ComputeDataService, PilotComputeService, State
from resources import TestResource, running_resource
from sshd import REFUSE_EVERYONE, plain_account

pytestmark = pytest.mark.timeout(120)

LIMIT_S = 50.0


class Cloud:
    """An EC2 whose instances are all the same machine.

    Args:
        ec2: Rents them.
        machine: At the end of SSH.
        temporary: Where this process keeps its temporary files.
    """

    def __init__(self, ec2: LocalEc2, machine: TestResource, temporary: Path) -> None:
        self.ec2 = ec2
        self.machine = machine
        self.temporary = temporary
        self._threads = set(threading.enumerate())

    def description(self, **more: Any) -> dict[str, Any]:
        """Describe a pilot."""
        return {
            "service_url": f"ec2+ssh://{REGION}",
            "number_of_processes": 2,
            "walltime": 10,
            "working_directory": str(self.machine.home / "agent"),
            "vm_id": self.ec2.image,
            "vm_type": "t3.small",
            "vm_ssh_keyname": "key",
            "vm_ssh_username": plain_account(),
            "vm_ssh_keyfile": self.machine.server.folder / "user_key",
            **more,
        }

    def check_clean(self) -> None:
        """Assert that no instance is paid for, and that pilots have left nothing here or there."""
        close_sessions()
        assert set(self.ec2.states()) == {"terminated"}
        assert wait_for_ends(self.machine.home, GRACE_S) == ()
        assert not list(self.machine.home.rglob("agent.json"))
        assert not [each.name for each in self.temporary.iterdir() if each.name.startswith("pilot-")]
        assert not list(self.machine.server.sockets.iterdir())
        for thread in set(threading.enumerate()) - self._threads:
            if thread.name.startswith("pilot-"):
                thread.join(LIMIT_S)
                assert not thread.is_alive(), thread.name


@pytest.fixture(scope="module")
def ec2_server() -> Iterator[LocalEc2]:
    with running_ec2() as running:
        yield running


@pytest.fixture(scope="module")
def machine() -> Iterator[TestResource]:
    with running_resource("ssh") as running:
        yield running
        kill_all(running.home)


@pytest.fixture
def cloud(
    ec2_server: LocalEc2, machine: TestResource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "PILOT_COORDINATION_URL"):
        monkeypatch.delenv(name, raising=False)
    temporary = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))  # sockets need short paths
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host *\nHostName 127.0.0.1\nPort {machine.server.port}\nIdentityAgent none\n"
        "GlobalKnownHostsFile /dev/null\n"
    )
    ec2_server.give_to(monkeypatch, tmp_path)
    for name, value in {"HOME": tmp_path, "TMPDIR": temporary, "PILOT_SSH_CONFIG": config}.items():
        monkeypatch.setenv(name, str(value))
    yield Cloud(ec2_server, machine, temporary)
    close_sessions()
    temporary.rmdir()


def run_units(url: str | None, description: dict[str, Any]) -> None:
    with PilotComputeService(url) as pilots, ComputeDataService(url) as work:
        work.add_pilot_compute_service(pilots)
        pilot = pilots.create_pilot(description)
        units = work.submit_compute_units([{"executable": "/usr/bin/id", "arguments": ["-un"]}] * 4)
        assert work.wait(LIMIT_S), pilot.details
        assert [unit.state for unit in units] == [State.Done] * 4
        assert {unit.stdout() for unit in units} == {f"{plain_account()}\n"}
    assert pilot.wait(LIMIT_S, State.Done) is State.Done


def test_a_pilot_runs_units_and_leaves_nothing(cloud: Cloud, redis_url: str) -> None:
    run_units(redis_url, cloud.description())
    cloud.check_clean()


def test_an_instance_comes_to_an_embedded_server_through_a_tunnel(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    run_units(None, cloud.description(tunnel=True))
    cloud.check_clean()
    assert "tunnel.left" not in caplog.text


def test_two_pilots_have_an_instance_and_a_tunnel_each(cloud: Cloud) -> None:
    with PilotComputeService() as pilots:
        made = [pilots.create_pilot(cloud.description(tunnel=True)) for _ in range(2)]
        assert [pilot.wait(LIMIT_S, State.Running) for pilot in made] == [State.Running] * 2
        made[0].cancel()
        assert made[0].wait(LIMIT_S, State.Done) is State.Done
        assert sorted(cloud.ec2.states()) == ["running", "terminated"]
        assert made[1].state is State.Running
    cloud.check_clean()


def test_an_agent_that_is_killed_ends_its_instance(cloud: Cloud, redis_url: str) -> None:
    with PilotComputeService(redis_url) as pilots:
        pilot = pilots.create_pilot(cloud.description())
        assert pilot.wait(LIMIT_S, State.Running) is State.Running
        kill_all(cloud.machine.home)
        assert pilot.wait(LIMIT_S, State.Failed) is State.Failed
    cloud.check_clean()


@pytest.mark.parametrize("tunnel", [False, True])
def test_a_pilot_that_cannot_hear_a_cancel_ends_with_its_instance(
    cloud: Cloud, redis_url: str, tunnel: bool
) -> None:
    with PilotComputeService(redis_url) as pilots:
        pilot = pilots.create_pilot(cloud.description(tunnel=tunnel))
        assert pilot.wait(LIMIT_S, State.Running) is State.Running
        placeholder = pilot._session.placeholders[pilot.id]
        placeholder.kill()
        assert placeholder.wait(LIMIT_S)
    cloud.check_clean()


def test_a_machine_that_does_not_let_us_in_is_given_back_with_the_reason(
    cloud: Cloud, redis_url: str
) -> None:
    cloud.machine.server.restart(*REFUSE_EVERYONE)
    try:
        with PilotComputeService(redis_url) as pilots:
            pilot = pilots.create_pilot(cloud.description())
            assert pilot.wait(LIMIT_S, State.Failed) is State.Failed
            assert "Permission denied" in str(pilot.details["message"])
            assert "is vm_ssh_username the user of this image" in str(pilot.details["message"])
        cloud.check_clean()
    finally:
        cloud.machine.server.restart()
