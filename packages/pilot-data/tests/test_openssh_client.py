"""The user's own OpenSSH carries the connection: who is let in, what is said to who is not, and what is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cli_runs import ran
from openssh_processes import Processes, putting
from own_sshd import LIMIT_S, new_key
from pilot_data.adaptors.ssh.openssh.channel import OpenSshChannel
from pilot_data.adaptors.ssh.openssh.login import found_login
from pilot_data.adaptors.ssh.openssh.refusals import refusal, refusal_of_channel
from pilot_data.config import DataConfig
from pilot_data.entries import is_partial
from pilot_data.errors import BusyError, ConnectionLostError, LoginError, TransferError
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.pilot_data_service import PilotDataService
from pilot_data.registry import open_storage
from pilot_data.storage import Access
from pilot_data.testing.sample_files import content, read_all, write
from pilot_data.testing.storage_fixture import LARGE, landed, names_below
from pilot_protocol.errors import DescriptionError
from ports import free_port
from ssh_hosts import SshHost, running_host


@pytest.fixture(scope="module")
def server() -> Iterator[SshHost]:
    with running_host() as running:
        yield running


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for the sockets of connections; nothing must be left in it, nor a process that names it."""
    folder = Path(tempfile.mkdtemp(prefix="pd-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    assert Processes(str(folder)).have_ended()
    folder.rmdir()


@pytest.fixture
def host(server: SshHost, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> SshHost:
    server.configure_client()
    server.be_known()
    monkeypatch.setenv("PILOT_SSH_CONFIG", str(server.config_file))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return server


def enter(location: Location, client: str = "openssh", userkey: str = "") -> int | None:
    with closing(open_storage(location, Access(userkey=userkey, ssh_client=client))) as storage:
        return storage.free_bytes()


def test_a_client_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(DescriptionError, match="ssh_client is 'putty'; allowed: builtin, openssh"):
        Access(ssh_client="putty")


@pytest.mark.parametrize("option", ["--ssh-client", "--source-ssh-client"])
def test_the_command_names_the_clients_that_there_are(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    asked = ran(capsys, "cp", option, "putty", "ssh://host/a", "ssh://host/b")
    assert asked.code == 2
    assert "'builtin', 'openssh'" in asked.err


def test_the_command_enters_by_the_client_that_is_named(
    host: SshHost, here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = host.folder / "pass_socket.py"
    script.write_text(_PASS_SOCKET)
    host.configure_client(f"ProxyCommand python3 {script} %h %p", "ProxyUseFdpass yes")
    write(here, "file", content(100))
    assert (
        ran(capsys, "put", "--ssh-client", "openssh", f"{here}/", str(host.at(tmp_path / "there"))).code == 0
    )
    assert read_all(str(tmp_path / "there")) == read_all(here)


def test_without_the_program_it_is_said_what_to_install(
    host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoginError, match=r"ssh is not on the PATH .*: install .*ssh_client: builtin"):
        enter(host.at("/"))


def test_a_host_that_is_not_known_or_has_another_key_is_not_entered(host: SshHost, tmp_path: Path) -> None:
    known = host.folder / "known_hosts"
    known.write_text("")
    with pytest.raises(LoginError, match=r"not known yet.*Host key verification failed") as caught:
        enter(host.at("/"))
    assert not caught.value.transient
    new_key(tmp_path / "other")
    known.write_text(f"[127.0.0.1]:{host.port} {(tmp_path / 'other.pub').read_text()}")
    with pytest.raises(LoginError, match="not the one that known_hosts has"):
        enter(host.at("/"))


def test_a_key_that_is_not_admitted_or_not_there(host: SshHost, tmp_path: Path) -> None:
    new_key(tmp_path / "a stranger")
    host.config_file.write_text(
        host.config_file.read_text().replace(f"IdentityFile {host.folder}/user_key\n", "")
    )
    with pytest.raises(
        LoginError, match=r"does not let us in without a question.*Permission denied"
    ) as caught:
        enter(host.at("/"), userkey=str(tmp_path / "a stranger"))
    assert not caught.value.transient
    with pytest.raises(LoginError, match="absent does not exist"):
        enter(host.at("/"), userkey=str(tmp_path / "absent"))
    assert enter(host.at("/"), userkey=str(host.folder / "user_key"))


def test_a_host_that_does_not_listen_or_does_not_exist(host: SshHost) -> None:
    unused = free_port()
    with pytest.raises(ConnectionLostError, match=r"not reached.*Connection refused") as caught:
        enter(Location("ssh", host="127.0.0.1", port=unused, path="/"))
    assert caught.value.transient
    with pytest.raises(LoginError, match="cannot be looked up"):
        enter(Location("ssh", host="no-such-host.invalid", path="/"))


def test_a_configuration_that_is_broken(host: SshHost) -> None:
    host.configure_client("NoSuchOption yes")
    with pytest.raises(LoginError, match=r"does not understand its configuration.*nosuchoption"):
        enter(host.at("/"))


def test_a_name_that_would_be_an_option_is_refused(host: SshHost) -> None:
    with pytest.raises(LoginError, match="no name of a host"):
        enter(Location("ssh", host="-oProxyCommand=false", path="/"))


@pytest.mark.parametrize(
    ("words", "kind", "transient"),
    [
        ("ssh: connect to host h port 22: Connection timed out", ConnectionLostError, True),
        ("Connection reset by 10.0.0.1 port 22", ConnectionLostError, True),
        ("ssh: Could not resolve hostname h: Temporary failure in name resolution", LoginError, True),
        ("Unable to negotiate with h port 22: no matching host key type found", LoginError, False),
        ("Received disconnect from h port 22:2: Too many authentication failures", LoginError, False),
        ("something that nobody has seen yet", LoginError, False),
        ("", ConnectionLostError, True),
    ],
)
def test_what_ssh_says_becomes_an_error(words: str, kind: type[TransferError], *, transient: bool) -> None:
    error = refusal("h", words)
    assert type(error) is kind
    assert error.transient is transient
    assert words in str(error)


def test_a_host_without_sftp_is_told() -> None:
    error = refusal_of_channel("h", "subsystem request failed on channel 2\r\n")
    assert "h has no SFTP" in str(error)
    assert refusal_of_channel("h", "env: python3: No such file or directory") is None


def test_a_host_that_takes_one_session_is_busy_for_the_next(
    here: str, tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_host("MaxSessions 1") as one:
        monkeypatch.setenv("PILOT_SSH_CONFIG", str(one.config_file))
        with closing(open_storage(one.at(tmp_path / "store"), Access(ssh_client="openssh"))) as storage:
            with pytest.raises(BusyError, match="MaxSessions"):
                storage.checksums(["a"], Job())
            landed(storage.put_many(here, [write(here, "a", b"1")], Job(checksum="none")))


def test_the_users_master_connection_is_used_and_left_alone(host: SshHost, sockets: Path) -> None:
    path = sockets / "users"
    by_user = ["ssh", "-F", str(host.config_file), "-S", str(path)]
    subprocess.run([*by_user, "-M", "-f", "-N", host.name], check=True, stderr=subprocess.DEVNULL)
    host.configure_client(f"ControlPath {path}")
    host.config_file.write_text(host.config_file.read_text().replace(f"{host.folder}/user_key", "/dev/null"))
    try:
        with pytest.raises(LoginError):
            enter(host.at("/"), "builtin")
        assert enter(host.at("/"))
        assert not list(sockets.glob("pilot-data-*"))
        subprocess.run([*by_user, "-O", "check", host.name], check=True, capture_output=True)
    finally:
        subprocess.run([*by_user, "-O", "exit", host.name], check=True, capture_output=True)
    with pytest.raises(LoginError, match="Permission denied"):
        enter(host.at("/"))


_PASS_SOCKET = """
import socket, sys
connected = socket.create_connection((sys.argv[1], int(sys.argv[2])))
socket.send_fds(socket.socket(fileno=1), [b"0"], [connected.fileno()])
"""


def test_a_proxy_that_passes_its_socket_leads_there(host: SshHost) -> None:
    script = host.folder / "pass_socket.py"
    script.write_text(_PASS_SOCKET)
    host.configure_client(f"ProxyCommand python3 {script} %h %p", "ProxyUseFdpass yes")
    with pytest.raises(ConnectionLostError):
        enter(host.at("/"), "builtin")
    assert enter(host.at("/"))


def test_the_fastest_cipher_is_taken_unless_the_user_has_chosen(host: SshHost) -> None:
    def ciphers() -> str:
        return found_login(host.at("/"), "", DataConfig.from_environment()).ciphers

    assert ciphers().startswith("aes128-gcm@openssh.com,")
    host.configure_client("Ciphers aes256-ctr")
    assert ciphers() == ""
    assert enter(host.at("/"))


def test_a_pilot_data_is_entered_as_it_was_made(
    host: SshHost, here: str, tmp_path: Path, service: PilotDataService
) -> None:
    write(here, "file", content(100))
    url = str(host.at(tmp_path / "store"))
    with pytest.raises(DescriptionError, match=r"ssh_client.*allowed: builtin, openssh"):
        service.create_pilot({"service_url": url, "ssh_client": "putty"})
    script = host.folder / "pass_socket.py"
    script.write_text(_PASS_SOCKET)
    host.configure_client(f"ProxyCommand python3 {script} %h %p", "ProxyUseFdpass yes")
    pd = service.create_pilot({"service_url": url, "ssh_client": "openssh"})
    assert pd.details["description"]["ssh_client"] == "openssh"
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert unit.wait(LIMIT_S)
    unit.export(str(tmp_path / "back"))
    assert read_all(str(tmp_path / "back")) == read_all(here)


@pytest.mark.parametrize("killed", ["-M", "-s"])
def test_a_killed_ssh_is_a_lost_connection_and_the_next_attempt_goes_on(
    host: SshHost, here: str, tmp_path: Path, sockets: Path, killed: str
) -> None:
    item = write(here, "large", content(3 * LARGE))
    moved: list[int] = []

    def kill(count: int) -> None:
        moved.append(count)
        if sum(moved) >= LARGE > sum(moved) - count:
            Processes(str(sockets)).kill(f"\0{killed}\0")

    with closing(open_storage(host.at(tmp_path / "store"), Access(ssh_client="openssh"))) as storage:
        with pytest.raises(ConnectionLostError) as caught:
            landed(storage.put_many(here, [item], Job(on_bytes=kill)))
        assert caught.value.transient
        assert all(is_partial(name) for name in names_below(str(tmp_path / "store")))
        moved.clear()
        landed(storage.put_many(here, [item], Job(on_bytes=moved.append)))
        assert 0 < sum(moved) <= 2 * LARGE
    assert read_all(str(tmp_path / "store")) == read_all(here)


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_program_is_interrupted_or_killed(
    host: SshHost, here: str, tmp_path: Path, sockets: Path, number: int
) -> None:
    write(here, "large", content(3 * LARGE))
    with putting(here, str(host.at(tmp_path / "store"))) as process:
        left = Processes(str(sockets))
        assert len(left.pids) >= 3  # a keeper, its ssh, and one for each channel
        os.killpg(process.pid, number)
        process.communicate()
    assert left.have_ended()
    assert list(sockets.iterdir()) == []


def test_the_socket_of_a_connection_is_of_this_user_alone(host: SshHost, sockets: Path) -> None:
    with closing(open_storage(host.at("/"), Access(ssh_client="openssh"))) as storage:
        storage.free_bytes()
        (folder,) = sockets.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def channel() -> Iterator[Callable[..., OpenSshChannel]]:
    """Return a maker of channels to programs of this machine."""
    made: list[OpenSshChannel] = []

    def make(*command: str) -> OpenSshChannel:
        program = shutil.which(command[0])
        assert program is not None
        made.append(OpenSshChannel([program, *command[1:]], "here"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_two_sides_that_both_send_first_do_not_wait_for_one_another(
    channel: Callable[..., OpenSshChannel],
) -> None:
    echo = channel("cat")
    sent = [content(100_000, seed=seed) for seed in range(50)]
    echo.put(*sent, b"", b"end")
    echo.flush()
    echo.end_input()
    come = b""
    while data := echo.receive(1 << 20):
        assert len(data) <= 1 << 20
        come += data
    assert come == b"".join(sent) + b"end"


def test_a_channel_waits_as_long_as_it_may(channel: Callable[..., OpenSshChannel]) -> None:
    echo = channel("cat")
    echo.wait_at_most(0.0)
    assert not echo.is_ready
    with pytest.raises(TimeoutError):
        echo.receive(10)
    echo.wait_at_most(None)
    echo.put(b"abc")
    echo.flush()
    assert echo.receive(2) + echo.receive(2) in {b"abc", b"ab"}


def test_a_program_that_ends_closes_its_channel(channel: Callable[..., OpenSshChannel]) -> None:
    ended = channel("true")
    assert ended.receive(10) == b""
    with pytest.raises(BrokenPipeError):
        ended.put(b"x" * (1 << 20))
