"""The way back to a Redis server over SSH: a real one of both, cut in every way."""

from __future__ import annotations

import os
import queue
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from own_sshd import kill
from pilot.submission.ssh import reverse_tunnel
from pilot.submission.ssh.place import SshPlace
from pilot.submission.ssh.reverse_tunnel import ReverseTunnel, TunnelNews
from pilot_protocol.errors import SubmissionError
from ports import free_port
from real_redis import running_server
from sshd import FORBID_FORWARDING, HOST, Sshd, running_sshd

LIMIT_S = 20.0

News = queue.SimpleQueue[TunnelNews]


@pytest.fixture
def server() -> Iterator[Sshd]:
    with running_sshd() as running:
        yield running


@pytest.fixture
def place(server: Sshd) -> Iterator[SshPlace]:
    place = SshPlace(server.target, server.options)
    yield place
    place.close()


@pytest.fixture
def redis_address(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with running_server(tmp_path, port):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def news() -> News:
    return queue.SimpleQueue()


@contextmanager
def tunnel(place: SshPlace, local: str, news: News) -> Iterator[ReverseTunnel]:
    opened = ReverseTunnel(place.connection, local, news.put)
    try:
        opened.open()
        yield opened
    finally:
        opened.close()


def ping(path: str) -> bytes:
    """Return what a Redis server behind a unix socket answers; empty when nobody does."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT_S)
        with suppress(OSError):
            client.connect(path)
            client.sendall(b"PING\r\n")
            return client.recv(64)
    return b""


def await_return(news: News) -> None:
    assert not news.get(timeout=LIMIT_S).is_open
    assert news.get(timeout=LIMIT_S).is_open


def test_redis_answers_at_the_other_end(place: SshPlace, redis_address: str, news: News) -> None:
    with tunnel(place, redis_address, news) as opened:
        assert ping(opened.remote_socket) == b"+PONG\r\n"


def test_a_unix_socket_is_forwarded_too_whatever_its_name(
    place: SshPlace, tmp_path: Path, news: News
) -> None:
    path = tmp_path / "a:b c\\d.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with tunnel(place, str(path), news) as opened, socket.socket(socket.AF_UNIX) as client:
            client.connect(opened.remote_socket)
            client.sendall(b"hello")
            served, _ = listener.accept()
            with served:
                assert served.recv(5) == b"hello"


def test_the_socket_is_for_its_owner_alone(place: SshPlace, redis_address: str, news: News) -> None:
    with tunnel(place, redis_address, news) as opened:
        folder = Path(opened.remote_socket).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(Path(opened.remote_socket).stat().st_mode) == 0o600


def test_the_runtime_folder_of_the_other_machine_is_used(
    server: Sshd, redis_address: str, news: News, tmp_path: Path
) -> None:
    runtime = server.folder / "run"
    runtime.mkdir(mode=0o700)
    server.restart(f"SetEnv XDG_RUNTIME_DIR={runtime}")
    place = SshPlace(server.target, server.options)
    with tunnel(place, redis_address, news) as opened:
        assert opened.remote_socket.startswith(f"{runtime}/pilot-")
        assert ping(opened.remote_socket) == b"+PONG\r\n"
    place.close()


def test_a_runtime_folder_with_a_path_too_long_for_sockets_is_not_used(
    server: Sshd, redis_address: str, news: News
) -> None:
    runtime = server.folder / ("long" * 25)
    runtime.mkdir(mode=0o700)
    server.restart(f"SetEnv XDG_RUNTIME_DIR={runtime}")
    place = SshPlace(server.target, server.options)
    with tunnel(place, redis_address, news) as opened:
        assert opened.remote_socket.startswith("/tmp/pilot-")
    place.close()


def test_closing_leaves_nothing(place: SshPlace, redis_address: str, news: News) -> None:
    place.run("true")
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with tunnel(place, redis_address, news) as opened:
        folder = Path(opened.remote_socket).parent
        assert folder.exists()
    assert not folder.exists()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
    assert news.empty()
    opened.close()


def test_after_the_login_was_cut_the_tunnel_comes_back(
    server: Sshd, place: SshPlace, redis_address: str, news: News
) -> None:
    with tunnel(place, redis_address, news) as opened:
        path = opened.remote_socket
        server.cut_sessions()
        await_return(news)
        assert opened.remote_socket == path
        assert ping(path) == b"+PONG\r\n"


def test_after_several_cuts_too(server: Sshd, place: SshPlace, redis_address: str, news: News) -> None:
    with tunnel(place, redis_address, news) as opened:
        for _ in range(3):
            server.cut_sessions()
            await_return(news)
            assert ping(opened.remote_socket) == b"+PONG\r\n"


def test_after_the_death_of_the_master_the_tunnel_comes_back(
    place: SshPlace, redis_address: str, news: News
) -> None:
    with tunnel(place, redis_address, news) as opened:
        said = place.connection.master().control("check").err
        kill(int(said.partition("pid=")[2].partition(")")[0]))
        await_return(news)
        assert ping(opened.remote_socket) == b"+PONG\r\n"


def test_after_an_outage_of_the_server_the_tunnel_comes_back(
    server: Sshd, place: SshPlace, redis_address: str, news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reverse_tunnel, "PAUSES_S", (0.0, 0.05))
    with tunnel(place, redis_address, news) as opened:
        server.stop()
        assert not news.get(timeout=LIMIT_S).is_open
        assert ping(opened.remote_socket) == b""
        server.start()
        assert news.get(timeout=LIMIT_S).is_open
        assert ping(opened.remote_socket) == b"+PONG\r\n"


def test_after_a_reboot_that_emptied_the_folder_the_tunnel_comes_back(
    server: Sshd, place: SshPlace, redis_address: str, news: News
) -> None:
    with tunnel(place, redis_address, news) as opened:
        path = Path(opened.remote_socket)
        path.unlink()
        path.parent.rmdir()
        server.cut_sessions()
        await_return(news)
        assert ping(str(path)) == b"+PONG\r\n"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_somebody_has_put_there_meanwhile_is_not_used(
    server: Sshd, place: SshPlace, redis_address: str, news: News, tmp_path: Path
) -> None:
    with tunnel(place, redis_address, news) as opened:
        path = Path(opened.remote_socket)
        path.unlink()
        path.parent.rmdir()
        path.parent.symlink_to(tmp_path)
        server.cut_sessions()
        assert not news.get(timeout=LIMIT_S).is_open
        place.run("true")
        assert not (tmp_path / path.name).exists()
        path.parent.unlink()
        assert news.get(timeout=LIMIT_S).is_open


def test_a_tunnel_closed_during_an_outage_ends(
    server: Sshd, place: SshPlace, redis_address: str, news: News, caplog: pytest.LogCaptureFixture
) -> None:
    with tunnel(place, redis_address, news) as opened:
        server.stop()
        assert not news.get(timeout=LIMIT_S).is_open
    folder = Path(opened.remote_socket).parent
    assert not any(thread.name.startswith("pilot-tunnel") for thread in threading.enumerate())
    assert f"tunnel.left folder={folder}" in caplog.text
    (folder / "redis.sock").unlink()
    folder.rmdir()


def test_a_server_that_forbids_it_is_named_with_what_to_change(
    server: Sshd, place: SshPlace, redis_address: str, news: News
) -> None:
    runtime = server.folder / "run"
    runtime.mkdir(mode=0o700)
    server.restart(*FORBID_FORWARDING, f"SetEnv XDG_RUNTIME_DIR={runtime}")
    with pytest.raises(SubmissionError, match="AllowStreamLocalForwarding yes") as caught:
        ReverseTunnel(place.connection, redis_address, news.put).open()
    assert HOST in str(caught.value)
    assert not caught.value.transient
    assert list(runtime.iterdir()) == []


def test_a_key_that_may_not_forward_is_named_too(
    server: Sshd, place: SshPlace, redis_address: str, news: News
) -> None:
    keys = server.folder / "authorized_keys"
    keys.write_text(f"restrict {keys.read_text()}")
    with pytest.raises(SubmissionError, match="must not have restrict or no-port-forwarding"):
        ReverseTunnel(place.connection, redis_address, news.put).open()


def test_a_machine_that_is_not_reached(server: Sshd, place: SshPlace, redis_address: str, news: News) -> None:
    server.stop()
    tunnel = ReverseTunnel(place.connection, redis_address, news.put)
    with pytest.raises(SubmissionError, match="nothing listens there"):
        tunnel.open()
    tunnel.close()


def test_a_master_of_the_user_carries_the_tunnel_and_is_watched(
    server: Sshd, redis_address: str, news: News
) -> None:
    server.configure_client(f"ControlPath {server.folder}/users-%C")
    ssh = ["ssh", "-F", str(server.config_file)]
    subprocess.run([*ssh, "-M", "-N", "-f", HOST], check=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S)
    place = SshPlace(server.target, server.options)
    with tunnel(place, redis_address, news) as opened:
        assert ping(opened.remote_socket) == b"+PONG\r\n"
        subprocess.run([*ssh, "-O", "exit", HOST], check=True, capture_output=True, timeout=LIMIT_S)
        await_return(news)
        assert ping(opened.remote_socket) == b"+PONG\r\n"
    place.close()
