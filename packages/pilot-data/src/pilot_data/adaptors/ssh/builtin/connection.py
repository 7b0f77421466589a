"""One SSH connection to a host, by paramiko."""

from __future__ import annotations

import logging
import socket
import subprocess
from contextlib import AbstractContextManager
from typing import Any

import paramiko

from pilot_data.adaptors.ssh.connection import NO_MORE_SESSIONS, NO_SFTP, Channel, Connection
from pilot_data.adaptors.ssh.problems import told_as_lost
from pilot_data.adaptors.ssh.sftp_channel import WINDOW
from pilot_data.errors import BusyError, ConnectionLostError, LoginError, TransferError

from .authentication import authenticate
from .channel import BuiltinChannel
from .closing import Transport
from .host_keys import KnownHosts
from .packetizer import BufferedPacketizer
from .ssh_config import BuiltinLogin

_LOG = "pilot_data.ssh"
_KEEPALIVE_S = 15
_SILENCE_MS = 60_000
_MESSAGE = 64 << 10
_FAST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_SLOW = ("aes128-ctr", "aes192-ctr", "aes256-ctr")

# Without a handler of the application, paramiko's threads would print what is raised here, too.
logging.getLogger(_LOG).addHandler(logging.NullHandler())


class BuiltinConnection(Connection):
    """A login at a host, by paramiko.

    Args:
        login: Where, and who.

    Raises:
        LoginError: The host is not the one that is known, or does not let us in.
        ConnectionLostError: It cannot be reached, or not now.
    """

    encrypts_here = True

    def __init__(self, login: BuiltinLogin) -> None:
        super().__init__(login)
        self._login = login
        self._via = BuiltinConnection(login.jump) if login.jump is not None else None
        self._transport: Any = None
        self._command: subprocess.Popen[bytes] | None = None
        try:
            self._enter()
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """See `Connection.is_alive`."""
        return bool(self._transport.is_active())

    def sftp(self) -> Channel:
        """See `Connection.sftp`."""
        with self._told_as_lost():
            channel = self._channel()
            opened = BuiltinChannel(channel)
            try:
                channel.invoke_subsystem("sftp")
            except paramiko.SSHException:
                self.check()
                raise TransferError(f"{self.login.name} {NO_SFTP}") from None
        return opened

    def run(self, command: str) -> Channel | None:
        """See `Connection.run`."""
        with self._told_as_lost():
            channel = self._channel()
            opened = BuiltinChannel(channel)
            try:
                channel.exec_command(command)
            except paramiko.SSHException:
                self.check()
                return None
        return opened

    def close(self) -> None:
        """See `Connection.close`; ends that of the host before it, too."""
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
            return self._transport.open_session(
                window_size=WINDOW, max_packet_size=_MESSAGE, timeout=self._login.connect_s
            )
        except paramiko.ChannelException as error:
            raise BusyError(f"{self.login.name} {NO_MORE_SESSIONS}: {error.text}") from None

    def _told_as_lost(self) -> AbstractContextManager[None]:
        return told_as_lost(self.login.name, paramiko.SSHException)

    def _enter(self) -> None:
        login = self._login
        known = KnownHosts(login)
        with self._told_as_lost():
            transport = self._transport = Transport(
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
        login = self._login
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
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=self._login.connect_s
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
