"""From a service_url to a machine that ssh is called for, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot.config import ClientConfig
from pilot.submission.ssh.target import SshOptions, SshTarget
from pilot_protocol.errors import SubmissionError


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("ssh://host", SshTarget("host")),
        ("ssh://host/", SshTarget("host")),
        ("ssh://host:2222/", SshTarget("host", port=2222)),
        ("ssh://ada@host.example.org:22/", SshTarget("host.example.org", "ada", 22)),
        ("slurm+ssh://MyCluster/", SshTarget("MyCluster")),
        ("slurm+ssh://ada@MyCluster/path?ppn=4", SshTarget("MyCluster", "ada")),
        ("ssh://ada%40realm@host/", SshTarget("host", "ada@realm")),
        ("ssh://DOMAIN%5Cada@host/", SshTarget("host", "DOMAIN\\ada")),
        ("ssh://[::1]:2222/", SshTarget("::1", port=2222)),
        ("ssh://[fe80::1%25eth0]/", SshTarget("fe80::1%eth0")),
        ("ssh://192.0.2.1/", SshTarget("192.0.2.1")),
        ("ssh://node_1/", SshTarget("node_1")),
        ("ssh://host:/", SshTarget("host")),
    ],
)
def test_targets(url: str, target: SshTarget) -> None:
    assert SshTarget.from_url(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "ssh://-oProxyCommand=touch%20x/",
        "ssh://-oProxyCommand=x/",
        "ssh://-l@host/",
        "ssh://-ofoo@host/",
        "ssh://host;id/",
        "ssh://$(id)/",
        "ssh://host%20-oProxyCommand=x/",
        "ssh://host%0aid/",
        "ssh://a'b@host/",
        "ssh://a%0ab@host/",
        "ssh://.host/",
        "ssh:///path",
        "ssh://",
        "ssh",
        "ssh://host:port/",
        "ssh://host:70000/",
        "ssh://[::1/",
    ],
)
def test_what_is_no_target_is_refused(url: str) -> None:
    with pytest.raises(SubmissionError):
        SshTarget.from_url(url)


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(SubmissionError, match="holds a password") as caught:
        SshTarget.from_url("ssh://ada:secret@host/")
    assert "secret" not in str(caught.value)


def test_the_command_line() -> None:
    assert SshTarget("host", "ada", 2222).arguments == ["-l", "ada", "-p", "2222", "--", "host"]
    assert SshTarget("host").arguments == ["--", "host"]


def test_names() -> None:
    assert SshTarget("host", "ada", 2222).name == "ada@host"
    assert SshTarget("host").name == "host"


def options(**settings: object) -> SshOptions:
    return SshOptions.from_config(ClientConfig(home=Path("/h"), state_home=Path("/s"), **settings))  # type: ignore[arg-type]


def test_the_environment_names_another_configuration() -> None:
    assert options(ssh_config="/etc/other").base[-2:] == ["-F", "/etc/other"]
    assert "-F" not in options().base


def test_the_program_is_the_first_on_the_search_path(tmp_path: Path) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert options(search_path=f"{tmp_path}:/usr/bin").program == str(program)
    assert options(search_path="/nowhere").program == "ssh"


def test_sockets_lie_where_paths_are_short(tmp_path: Path) -> None:
    long = tmp_path / ("long" * 20)
    long.mkdir()
    assert options(runtime_dir=long).socket_folder == Path("/tmp")
    assert options(runtime_dir=Path("/nowhere")).socket_folder == Path("/tmp")
    assert options(runtime_dir=Path("/run")).socket_folder == Path("/run")
