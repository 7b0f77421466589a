"""What a user sees when a pilot cannot start at a resource: the reason, what to do, and nothing left behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import redis

from pilot import State
from pilot_protocol.errors import DescriptionError, SubmissionError
from ports import free_port
from resource_bench import only
from small_disk import small_disk
from sshd import HOST
from trouble_bench import TroubleBench
from until import LIMIT_S, until

pytestmark = pytest.mark.timeout(240)


def refused(at: TroubleBench, **keys: Any) -> str:
    """Create a pilot that is refused; return why, which its record says as well."""
    with pytest.raises(SubmissionError) as refusal:
        at.pilot(**keys)
    assert at.last_failure() == str(refusal.value)
    assert "Traceback" not in str(refusal.value)
    return str(refusal.value)


def failed(at: TroubleBench, **keys: Any) -> str:
    """Create a pilot whose job fails; return why."""
    pilot = at.pilot(**keys)
    assert pilot.wait(LIMIT_S, state="Running") is State.Failed
    return at.last_failure()


@only("slurm", "slurm+ssh", "sge")
def test_a_queue_that_is_not_there(at: TroubleBench) -> None:
    assert re.search(
        r"(?i)(queue|partition).*nosuch|nosuch.*(queue|partition)|invalid partition",
        refused(at, queue="nosuch"),
    )


@only("slurm", "slurm+ssh", "sge")
def test_a_walltime_over_the_limit(at: TroubleBench) -> None:
    queue, words = {
        "slurm": ("short", "over the limit of partition short, 5 min"),
        "sge": ("short.q", "queue short.q of Grid Engine takes no walltime of 10 min"),
    }[at.system]
    assert words in refused(at, queue=queue, walltime=10)


@only("slurm")
def test_more_nodes_than_there_are_now_wait_and_say_why(at: TroubleBench) -> None:
    at.command("scontrol", "update", "NodeName=node2", "State=DRAIN", "Reason=test")
    try:
        pilot = at.pilot(number_of_processes=8)
        until(lambda: pilot.details["resource_says"], at.queue)
        assert pilot.state == "Pending"
        pilot.cancel()
        assert pilot.state == "Canceled"
    finally:
        at.command("scontrol", "update", "NodeName=node2", "State=RESUME")


@only("slurm")
def test_more_nodes_than_there_will_ever_be(at: TroubleBench) -> None:
    assert "number_of_nodes=3" in refused(at, number_of_nodes=3, number_of_processes=3)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://no-such-host.invalid", "there is no such name"),
        ("slurm+ssh://no-such-host.invalid", "there is no such name"),
        ("ssh://localhost:{port}", "nothing listens there"),
        ("sge+ssh://localhost:{port}", "nothing listens there"),
    ],
)
@only("ssh")
def test_a_resource_that_is_not_there(at: TroubleBench, url: str, words: str) -> None:
    with pytest.raises(SubmissionError, match=words) as refusal:
        at.pilot(service_url=url.format(port=free_port()))
    assert at.last_failure() == str(refusal.value)


@only("ssh")
def test_a_scheme_that_nobody_knows(at: TroubleBench) -> None:
    with pytest.raises(DescriptionError, match="unknown scheme 'nosuch'; known are"):
        at.pilot(service_url="nosuch://localhost")
    assert at.service.list_pilots() == []


@only("ssh")
def test_a_host_with_another_key(at: TroubleBench) -> None:
    server = at.resource.server
    key = (server.folder / "host_key").read_bytes()
    known = (server.folder / "known_hosts").read_text()
    server.change_host_key()
    server.restart()
    try:
        assert "ssh-keygen -R" in refused(at)
    finally:
        (server.folder / "host_key").write_bytes(key)
        (server.folder / "known_hosts").write_text(known)
        server.restart()


@only("ssh")
@pytest.mark.parametrize("way", ["", "slurm+"])
def test_a_key_that_is_not_let_in(at: TroubleBench, way: str) -> None:
    at.resource.server.restart("DenyUsers *")
    try:
        message = refused(at, service_url=f"{way}ssh://pilottest@{HOST}")
        assert "does not let us in" in message
        assert "ssh -o BatchMode=yes" in message
    finally:
        at.resource.server.restart()


@only("ssh", "slurm")
def test_a_working_directory_that_is_a_file(at: TroubleBench) -> None:
    (at.resource.home / "file").touch()
    message = refused(at, working_directory=str(at.resource.home / "file"))
    assert "not a directory" in message


@only("ssh")
def test_a_working_directory_of_somebody_else(at: TroubleBench) -> None:
    assert "that you may write to" in refused(at, working_directory="/root/mine")


@only("ssh", "slurm")
def test_a_disk_that_is_full(at: TroubleBench) -> None:
    with small_disk(at.resource.home / "full") as folder:
        message = refused(at, working_directory=str(folder))
        assert "disk full" in message
        assert str(folder) in message
        assert not list(folder.iterdir())


@only("slurm")
def test_a_home_and_a_working_directory_that_are_full(
    at: TroubleBench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    with small_disk(at.resource.home / "full") as folder, small_disk(home / "full") as full_home:
        monkeypatch.setenv("HOME", str(full_home))
        assert "disk full" in refused(at, working_directory=str(folder))


def test_no_python_there(at: TroubleBench) -> None:
    message = failed(at, python="/opt/none/bin/python3")
    assert "/opt/none/bin/python3" in message
    assert "python of the pilot's description" in message


@only("ssh", "slurm")
def test_a_python_that_is_too_old(at: TroubleBench) -> None:
    old = at.resource.home / "python3.8"
    old.write_text("#!/bin/sh\necho 3.8.10\nexit 1\n")
    old.chmod(0o755)
    message = failed(at, python=str(old))
    assert "3.8.10" in message
    assert "3.9 or newer" in message


def test_a_line_of_the_setup_that_fails(at: TroubleBench) -> None:
    message = failed(at, setup=["echo fine", "module load nosuch"])
    assert "setup failed in line 2" in message
    assert "module" in message


@only("ssh", "slurm")
def test_redis_that_the_pilot_does_not_reach(at: TroubleBench, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = at.service._agent_settings()
    nowhere = f"redis://:secret@localhost:{free_port()}"
    monkeypatch.setattr(
        "pilot.pilot_compute_service.PilotComputeService._agent_settings",
        lambda _service: {**settings, "coordination_url": nowhere},
    )
    message = failed(at, agent_options={"first_patience_s": 1})
    assert nowhere.replace(":secret@", "") in message
    assert "secret" not in message
    assert "'tunnel': True" in message


@only("ssh", "slurm")
def test_a_session_that_speaks_another_protocol_by_the_time_the_agent_comes(
    at: TroubleBench, redis_url: str
) -> None:
    gate = at.resource.home / "gate"
    pilot = at.pilot(setup=[f"while ! [ -e {gate} ]; do sleep 0.1; done"])
    with redis.Redis.from_url(redis_url) as server:
        server.hset(at.session.keys.named("meta"), "protocol", "2.0")
    gate.touch()
    try:
        assert pilot.wait(LIMIT_S, state="Running") is State.Failed
    finally:
        gate.unlink()
    assert "2.0" in at.last_failure()
