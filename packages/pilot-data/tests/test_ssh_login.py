"""Who is let in, over which way, and what is said to who is not."""

from __future__ import annotations

import getpass
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from own_sshd import new_key
from pilot_data.adaptors.ssh.builtin.ssh_config import SshSettings
from pilot_data.config import DataConfig
from pilot_data.errors import ConnectionLostError, LoginError
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Access
from ports import free_port
from ssh_hosts import SshHost, running_host


@pytest.fixture(scope="module")
def server() -> Iterator[SshHost]:
    with running_host() as running:
        yield running


@pytest.fixture
def host(server: SshHost, monkeypatch: pytest.MonkeyPatch) -> SshHost:
    server.configure_client()
    server.be_known()
    monkeypatch.setenv("PILOT_SSH_CONFIG", str(server.config_file))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return server


def enter(location: Location, userkey: str = "") -> int | None:
    storage = open_storage(location, Access(userkey=userkey))
    try:
        return storage.free_bytes()
    finally:
        storage.close()


def test_a_host_that_is_not_known_is_not_entered(host: SshHost) -> None:
    host.be_a_stranger()
    with pytest.raises(LoginError, match=rf"not known yet.*ssh -p {host.port} .*@127\.0\.0\.1") as caught:
        enter(host.at("/"))
    assert not caught.value.transient


def test_a_host_with_another_key_is_not_entered(host: SshHost, tmp_path: Path) -> None:
    new_key(tmp_path / "other")
    key = (tmp_path / "other.pub").read_text()
    (host.folder / "known_hosts").write_text(f"[127.0.0.1]:{host.port} {key}")
    with pytest.raises(LoginError, match=r"not the one that known_hosts has.*ssh-keygen -R '\[127.0.0.1\]"):
        enter(host.at("/"))


def test_a_key_that_is_revoked_is_not_taken(host: SshHost) -> None:
    known = (host.folder / "known_hosts").read_text()
    (host.folder / "known_hosts").write_text(f"{known}\n@revoked {known}")
    with pytest.raises(LoginError, match="revoked"):
        enter(host.at("/"))


def test_known_hosts_may_be_hashed_patterns_or_aliases(host: SshHost) -> None:
    known = host.folder / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert enter(host.at("/"))
    key = (host.folder / "host_key.pub").read_text()
    known.write_text(f"[127.0.0.*]:{host.port} {key}")
    assert enter(host.at("/"))
    known.write_text(f"my-alias {key}")
    host.configure_client("HostKeyAlias my-alias")
    assert enter(host.at("/"))


def test_an_encrypted_key_needs_the_agent(
    host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "locked"
    shutil.copy(host.folder / "user_key", key)
    shutil.copy(host.folder / "user_key.pub", f"{key}.pub")
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True, capture_output=True
    )
    with pytest.raises(LoginError, match=rf"{key} is encrypted; type: ssh-add"):
        enter(host.at("/"), str(key))
    host.config_file.write_text(host.config_file.read_text().replace("IdentityAgent none\n", ""))
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", host.folder / "user_key"], check=True, capture_output=True)
        assert enter(host.at("/"), str(key))
        agent.send_signal(signal.SIGTERM)


def test_a_key_that_is_not_admitted_or_not_there(host: SshHost, tmp_path: Path) -> None:
    new_key(tmp_path / "stranger")
    with pytest.raises(LoginError, match=r"does not let us in: ssh-ed25519 SHA256:\S+ was refused"):
        enter(host.at("/"), str(tmp_path / "stranger"))
    with pytest.raises(LoginError, match="absent does not exist"):
        enter(host.at("/"), str(tmp_path / "absent"))


def test_a_certificate_lets_in(host: SshHost, tmp_path: Path) -> None:
    new_key(tmp_path / "authority")
    new_key(tmp_path / "user")
    sign = f"ssh-keygen -q -s {tmp_path}/authority -I me -n {getpass.getuser()} {tmp_path}/user.pub"
    subprocess.run(sign.split(), check=True)
    admitted = host.folder / "authorized_keys"
    before = admitted.read_text()
    admitted.write_text(f"cert-authority {(tmp_path / 'authority.pub').read_text()}")
    try:
        assert enter(host.at("/"), str(tmp_path / "user"))
    finally:
        admitted.write_text(before)


def test_a_chain_of_jump_hosts_leads_to_the_host(host: SshHost) -> None:
    config = host.config_file.read_text()
    hops = [config.replace(host.name, name) for name in ("jump-1", "jump-2")]
    host.config_file.write_text("\n".join([*hops, config, "ProxyJump jump-1,jump-2", ""]))
    assert enter(host.at("/"))


def test_a_command_leads_to_the_host(host: SshHost) -> None:
    relay = "import socket,sys,threading,os;s=socket.create_connection((sys.argv[1],int(sys.argv[2])))"
    script = host.folder / "relay.py"
    script.write_text(
        f"{relay}\n"
        "def pump(read, write):\n"
        "    while data := read(65536):\n"
        "        write(data)\n"
        "threading.Thread(target=pump, args=(lambda n: os.read(0, n), s.sendall), daemon=True).start()\n"
        "pump(s.recv, lambda data: os.write(1, data))\n"
    )
    host.configure_client(f"ProxyCommand python3 {script} %h %p")
    assert enter(host.at("/"))


def test_a_jump_host_that_does_not_lead_there_is_named(host: SshHost) -> None:
    jump = host.config_file.read_text().replace(host.name, "jump-1")
    unused = free_port()
    host.configure_client("ProxyJump jump-1", f"Port {unused}")
    host.config_file.write_text(jump + host.config_file.read_text())
    with pytest.raises(ConnectionLostError, match=rf"jump-1 does not lead to 127.0.0.1 port {unused}"):
        enter(host.at("/"))


def test_a_host_that_does_not_listen_or_does_not_exist(host: SshHost) -> None:
    unused = free_port()
    with pytest.raises(ConnectionLostError, match=f"port {unused} is not reached") as caught:
        enter(Location("ssh", host="127.0.0.1", port=unused, path="/"))
    assert caught.value.transient
    with pytest.raises(LoginError, match="cannot be looked up"):
        enter(Location("ssh", host="no-such-host.invalid", path="/"))


def test_settings_come_from_the_files_that_the_configuration_includes(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Include more/*\nHost *\n  User everybody\n")
    (tmp_path / ".ssh" / "more").mkdir()
    (tmp_path / ".ssh" / "more" / "one").write_text(
        "Host site\n  HostName login.site.org\n  ConnectTimeout 7\n"
    )
    login = SshSettings(DataConfig(home=str(tmp_path))).login("site")
    assert (login.host, login.user, login.port, login.connect_s) == ("login.site.org", "everybody", 22, 7.0)
    assert SshSettings(DataConfig(home=str(tmp_path))).login("site", user="me", port=99).by_hand == (
        "ssh -p 99 me@login.site.org"
    )


def test_jumps_in_a_circle_are_an_error(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(LoginError, match="circle"):
        SshSettings(DataConfig(home=str(tmp_path), ssh_config=str(config))).login("a")
