from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pilot_agent.config import AgentConfig, read_config
from pilot_agent.tunnel_url import TunnelTarget
from pilot_protocol.errors import CoordinationError, DescriptionError

GOOD: dict[str, Any] = {
    "coordination_url": "redis://:secret@host:6379",
    "session": "s-a",
    "key": "00" * 32,
    "pilot": "p-a",
    "cores": 8,
    "sandbox": "/tmp/p-a",
}


def write(folder: Path, content: Any, mode: int = 0o600) -> Path:
    path = folder / "agent.json"
    path.touch(mode=mode)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def read(folder: Path, **changes: Any) -> AgentConfig:
    return read_config(write(folder, {**GOOD, **changes}))


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert config == AgentConfig(
        path=tmp_path / "agent.json",
        coordination_url="redis://:secret@host:6379",
        session="s-a",
        key=bytes(32),
        pilot="p-a",
        cores=8,
        sandbox=Path("/tmp/p-a"),
        lease_s=30.0,
        grace_s=10.0,
        walltime_s=None,
        executors=2,
        gpus=0,
        memory_mb=None,
        label=",",
        lifeline_fd=None,
        lost_timeout_s=600.0,
        first_patience_s=30.0,
        on_partition="stop",
        lrms="auto",
        tunnel=None,
        cache_mb=0,
        mover_transfers=4,
    )
    assert config.lease_ms == 30_000
    moving = read(tmp_path, options={"cache_mb": 500, "mover_transfers": 1})
    assert (moving.cache_mb, moving.mover_transfers) == (500, 1)


def test_what_is_said_counts(tmp_path: Path) -> None:
    options = {
        "executors": 4,
        "grace_s": 1,
        "lost_timeout_s": 5,
        "first_patience_s": 2,
        "on_partition": "continue",
    }
    config = read(
        tmp_path,
        lease_s=5,
        walltime_s=60,
        gpus=2,
        memory_mb=1024,
        label="eu,big",
        lifeline_fd=7,
        options=options,
    )
    assert (config.lease_s, config.walltime_s, config.gpus, config.memory_mb) == (5.0, 60.0, 2, 1024)
    assert (config.label, config.lifeline_fd, config.executors) == ("eu,big", 7, 4)
    assert (config.grace_s, config.lost_timeout_s, config.on_partition) == (1.0, 5.0, "continue")
    assert config.first_patience_s == 2.0


@pytest.mark.parametrize(
    ("cores", "asked", "executors"), [(1, None, 1), (2, None, 2), (64, None, 2), (3, 8, 3)]
)
def test_there_are_never_more_executors_than_cores(
    tmp_path: Path, cores: int, asked: Any, executors: int
) -> None:
    options = {} if asked is None else {"executors": asked}
    assert read(tmp_path, cores=cores, options=options).executors == executors


def test_without_cores_the_pilot_has_what_its_job_has(tmp_path: Path) -> None:
    config = read(tmp_path, cores=None)
    assert (config.cores, config.executors) == (None, 2)


@pytest.mark.parametrize(
    ("settings", "lrms"),
    [({}, "auto"), ({"lrms": "local"}, "local"), ({"lifeline_fd": 7}, "local")],
    ids=["alone", "told so", "started by a client on this machine"],
)
def test_a_batch_job_around_the_agent_counts_unless_it_is_the_clients(
    tmp_path: Path, settings: dict[str, Any], lrms: str
) -> None:
    assert read(tmp_path, **settings).lrms == lrms


def test_a_tunnel_leads_to_a_socket_or_to_an_address(tmp_path: Path) -> None:
    at_socket = {"host": "me@login1", "socket": "/home/me/.pilot/redis.sock"}
    assert read(tmp_path, tunnel=at_socket).tunnel == TunnelTarget("me@login1", "/home/me/.pilot/redis.sock")
    at_address = {"host": "", "address": "127.0.0.1:6379"}
    assert read(tmp_path, tunnel=at_address).tunnel == TunnelTarget("", address="127.0.0.1:6379")


@pytest.mark.parametrize(
    ("tunnel", "message"),
    [
        ([], "agent setting tunnel is []; an object is required"),
        ({"socket": "/s"}, "agent setting tunnel.host is None; a text like user@host is required"),
        (
            {"host": "-oProxyCommand=x", "socket": "/s"},
            "agent setting tunnel.host is '-oProxyCommand=x'; a text like user@host is required",
        ),
        ({"host": "h"}, "agent setting tunnel.socket is None; either a socket or an address is required"),
        (
            {"host": "h", "socket": "/s", "address": "a:1"},
            "agent setting tunnel.socket is '/s'; either a socket or an address is required",
        ),
        (
            {"host": "h", "socket": "/a:b"},
            "agent setting tunnel.socket is '/a:b'; an absolute path of letters, digits and ./_+@=~- is required",
        ),
        ({"host": "h", "address": "6379"}, "agent setting tunnel.address is '6379'; host:port is required"),
    ],
)
def test_a_tunnel_that_leads_nowhere_is_refused(tmp_path: Path, tunnel: Any, message: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        read(tmp_path, tunnel=tunnel)
    assert str(caught.value) == message


def test_keys_of_a_newer_client_are_passed_over(tmp_path: Path) -> None:
    assert read(tmp_path, colour="blue", options={"taste": "sweet"}).cores == 8


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    shown = repr(read(tmp_path, key="ab" * 32))
    assert ":secret@" not in shown
    assert "abab" not in shown
    assert repr(bytes.fromhex("ab" * 32)) not in shown


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("coordination_url", None, "agent setting coordination_url is None; a text is required"),
        ("session", "", "agent setting session is ''; a text is required"),
        ("pilot", 7, "agent setting pilot is 7; a text is required"),
        ("label", 1, "agent setting label is 1; a text is required"),
        ("key", "xyz", "agent setting key is not hexadecimal"),
        ("sandbox", "here", "agent setting sandbox is 'here'; an absolute path is required"),
        ("cores", 0, "agent setting cores is 0; a whole number of at least 1 is required"),
        ("cores", True, "agent setting cores is True; a whole number of at least 1 is required"),
        ("cores", 1.5, "agent setting cores is 1.5; a whole number of at least 1 is required"),
        ("gpus", -1, "agent setting gpus is -1; a whole number of at least 0 is required"),
        ("memory_mb", "1", "agent setting memory_mb is '1'; a whole number of at least 0 is required"),
        ("lifeline_fd", "3", "agent setting lifeline_fd is '3'; a whole number of at least 0 is required"),
        ("lease_s", 0.5, "agent setting lease_s is 0.5; a number of at least 1.0 is required"),
        ("lease_s", float("nan"), "agent setting lease_s is nan; a number of at least 1.0 is required"),
        ("walltime_s", float("inf"), "agent setting walltime_s is inf; a number of at least 0.0 is required"),
        ("walltime_s", "1h", "agent setting walltime_s is '1h'; a number of at least 0.0 is required"),
        ("options", [], "agent setting options is []; an object is required"),
        (
            "options",
            {"mover_transfers": 0},
            "agent setting mover_transfers is 0; a whole number of at least 1 is required",
        ),
        ("options", {"grace_s": -1}, "agent setting grace_s is -1; a number of at least 0.0 is required"),
        (
            "options",
            {"executors": 0},
            "agent setting executors is 0; a whole number of at least 1 is required",
        ),
        ("lrms", "slurm", "agent option lrms is 'slurm'; allowed: auto, local"),
        (
            "options",
            {"on_partition": "pray"},
            "agent option on_partition is 'pray'; allowed: stop, continue",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    tmp_path: Path, name: str, value: Any, message: str
) -> None:
    with pytest.raises(DescriptionError) as caught:
        read(tmp_path, **{name: value})
    assert str(caught.value) == message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777, 0o610])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, GOOD, mode)
    with pytest.raises(CoordinationError, match=f"hold secrets; make them yours alone: chmod 600 {path}"):
        read_config(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_that_only_its_owner_may_use_is_read(tmp_path: Path, mode: int) -> None:
    assert read_config(write(tmp_path, GOOD, mode)).pilot == "p-a"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CoordinationError, match=r"nowhere\.json cannot be read: No such file"):
        read_config(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("content", "message"), [("{", "are not JSON"), ("", "are not JSON"), ("[]", "are no JSON object")]
)
def test_content_that_is_no_object_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        read_config(write(tmp_path, content))


def test_content_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    path.write_bytes(b"\xff\xfe\xfa{}")
    with pytest.raises(DescriptionError, match="are not JSON"):
        read_config(path)
