"""A program at a host that ends while something is sent to it takes nothing else of the connection with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import paramiko
import pytest

from pilot_data.adaptors.ssh.builtin.closing import Sending
from pilot_data.adaptors.ssh.builtin.ssh_config import SshSettings
from pilot_data.adaptors.ssh.connection import Channel, Connection
from pilot_data.adaptors.ssh.sftp import Sftp
from pilot_data.config import DataConfig
from ssh_hosts import NO_EXEC, SshHost, running_host

LIMIT_S = 30.0


@pytest.fixture
def connection() -> Iterator[Connection]:
    """To a host at which every program ends at once."""
    with running_host(*NO_EXEC) as server:
        config = DataConfig(home="/", ssh_config=str(server.config_file))
        opened = SshSettings(config).login(SshHost.name).connected()
        yield opened
        opened.close()


def some_data(channel: Channel) -> None:
    channel.put(b"data")
    channel.flush()


def until_refused(channel: Channel) -> None:
    """Send; the close comes after the end of what the program prints."""
    while True:
        some_data(channel)


@pytest.mark.parametrize("send", [some_data, Channel.end_input])
def test_what_is_being_sent_leaves_before_the_answer_to_a_close(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, send: Callable[[Channel], None]
) -> None:
    is_sending, is_held = threading.Event(), threading.Event()
    hold, really_send = Sending.hold, paramiko.Transport._send_user_message

    def hold_when_sending(self: Sending, answer: Callable[[], None]) -> bool:
        assert is_sending.wait(LIMIT_S)
        held = hold(self, answer)
        is_held.set()
        return held

    def send_when_held(self: paramiko.Transport, message: paramiko.Message) -> None:
        if runs and threading.current_thread() is threading.main_thread() and not is_sending.is_set():
            is_sending.set()
            assert is_held.wait(LIMIT_S)
        really_send(self, message)

    runs: list[Channel] = []
    monkeypatch.setattr(Sending, "hold", hold_when_sending)
    monkeypatch.setattr(paramiko.Transport, "_send_user_message", send_when_held)
    program = connection.run("true")
    assert program is not None
    runs.append(program)
    send(program)
    assert Sftp(connection.sftp(), "host").open_requests == 0
    assert connection.is_alive


def test_sending_to_what_has_closed_is_refused(connection: Connection) -> None:
    program = connection.run("true")
    assert program is not None
    while program.receive(4096):
        continue
    with pytest.raises((EOFError, OSError)):
        until_refused(program)
    assert Sftp(connection.sftp(), "host").open_requests == 0


def test_a_program_is_let_go_of_whatever_the_connection_says(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = connection.sftp()

    def lose(_transport: paramiko.Transport, _message: paramiko.Message) -> None:
        raise EOFError

    monkeypatch.setattr(paramiko.Transport, "_send_user_message", lose)
    channel.close()
