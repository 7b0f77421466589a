"""One SSH connection to a host."""

from __future__ import annotations

import logging
import socket
import subprocess
from typing import Any

import paramiko

from pilot_data.errors import BusyError, ConnectionLostError, LoginError, TransferError

from .authentication import authenticate
from .host_keys import KnownHosts
from .inbox import Inbox
from .packetizer import BufferedPacketizer
from .problems import told_as_lost
from .sftp import Sftp
from .sftp_channel import WINDOW
from .ssh_config import Login

_LOG = "pilot_data.ssh"
_KEEPALIVE_S = 15
_SILENCE_MS = 60_000
_MESSAGE = 64 << 10
_FAST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_SLOW = ("aes128-ctr", "aes192-ctr", "aes256-ctr")

# Without a handler of the application, paramiko's threads would print what is raised here, too.
logging.getLogger(_LOG).addHandler(logging.NullHandler())


class Connection:
    """A login at a host; several threads may use it, each with channels of its own.

    Args:
        login: Where, and who.

    Attributes:
        login: Where, and who.
        hash_tool: How many ways to hash files there are known not to work; see `remote_hashes`.

    Raises:
        LoginError: The host is not the one that is known, or does not let us in.
        ConnectionLostError: It cannot be reached, or not now.
    """

    def __init__(self, login: Login) -> None:
        self.login = login
        self.hash_tool = 0
        self._via = Connection(login.jump) if login.jump is not None else None
        self._transport: Any = None
        self._command: subprocess.Popen[bytes] | None = None
        try:
            self._enter()
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether channels can be opened."""
        return bool(self._transport.is_active())

    def check(self) -> None:
        """Go on.

        Raises:
            ConnectionLostError: The connection is lost.
        """
        if not self.is_alive:
            raise ConnectionLostError(f"{self.login.name}: the SSH connection was lost")

    def sftp(self) -> Sftp:
        """Return a conversation with the host's SFTP server.

        Raises:
            ConnectionLostError: The connection is lost, or the host has no SFTP.
        """
        with told_as_lost(self.login.name):
            channel = self._channel()
            try:
                channel.invoke_subsystem("sftp")
            except paramiko.SSHException:
                self.check()
                raise TransferError(
                    f"{self.login.name} has no SFTP: its administrators must set Subsystem sftp in sshd_config"
                ) from None
        return Sftp(channel, self.login.name)

    def run(self, command: str) -> Any:
        """Start a program, and return its channel; None where none may be started.

        Raises:
            ConnectionLostError: The connection is lost.
        """
        with told_as_lost(self.login.name):
            channel = self._channel()
            try:
                channel.exec_command(command)
            except paramiko.SSHException:
                self.check()
                return None
        return channel

    def close(self) -> None:
        """End the connection, and that of the host before it."""
        if self._transport is not None:
            self._transport.close()
            self._transport.join()
        if self._command is not None:
            self._command.kill()
            self._command.wait()
        if self._via is not None:
            self._via.close()

    def _channel(self) -> Any:
        try:
            channel = self._transport.open_session(
                window_size=WINDOW, max_packet_size=_MESSAGE, timeout=self.login.connect_s
            )
            channel.in_buffer = Inbox()  # nothing comes before something was asked for
            return channel
        except paramiko.ChannelException as error:
            raise BusyError(
                f"{self.login.name} takes no more sessions over one connection (MaxSessions in sshd_config): {error.text}"
            ) from None

    def _enter(self) -> None:
        login = self.login
        known = KnownHosts(login)
        with told_as_lost(login.name):
            transport = self._transport = paramiko.Transport(
                self._socket(), packetizer_class=BufferedPacketizer, default_window_size=WINDOW
            )
            transport.daemon = True
            transport.set_log_channel(_LOG)
            options = transport.get_security_options()
            options.ciphers = (*_FAST, *_SLOW)
            options.key_types = known.preferred(options.key_types)
            transport.banner_timeout = transport.auth_timeout = login.connect_s
            try:
                transport.start_client(timeout=login.connect_s)
            except paramiko.IncompatiblePeer as error:
                raise LoginError(
                    f"{login.name}: the two sides have no algorithm in common: {error}"
                ) from None
            known.check(transport.get_remote_server_key())
            authenticate(transport, login)
            transport.set_keepalive(_KEEPALIVE_S)

    def _socket(self) -> Any:
        login = self.login
        if self._via is not None:
            return self._via.forwarded(login.host, login.port)
        if login.command:
            return self._piped(login.command)
        try:
            connected = socket.create_connection((login.host, login.port), timeout=login.connect_s)
        except socket.gaierror as error:
            raise LoginError(
                f"{login.name}: {login.host} cannot be looked up ({error.strerror}); check the URL, or Host in ~/.ssh/config",
                transient=error.errno == socket.EAI_AGAIN,
            ) from None
        except OSError as error:
            raise ConnectionLostError(
                f"{login.name}: {login.host} port {login.port} is not reached: {error.strerror or error}"
            ) from None
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Keepalives that nobody confirms end the connection.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_MS)
        return connected

    def forwarded(self, host: str, port: int) -> Any:
        """Return a socket that leads from this host to another.

        Raises:
            ConnectionLostError: It does not lead there.
        """
        try:
            return self._transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=self.login.connect_s
            )
        except paramiko.ChannelException as error:
            raise ConnectionLostError(
                f"{self.login.name} does not lead to {host} port {port}: {error.text}; it must be reachable from there, "
                "and AllowTcpForwarding be yes in the sshd_config of the jump host"
            ) from None

    def _piped(self, command: str) -> socket.socket:
        """Return a socket that is the standard input and output of a command, as ``ProxyCommand`` has it."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._command = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"], stdin=theirs.fileno(), stdout=theirs.fileno()
            )
        return ours
