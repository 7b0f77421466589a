"""One SSH connection to a host, by the user's own OpenSSH."""

from __future__ import annotations

from pilot_data.adaptors.ssh.connection import Channel, Connection

from .channel import OpenSshChannel
from .login import OpenSshLogin
from .master import start_master, users_master


class OpenSshConnection(Connection):
    """A login at a host, by a master connection: the user's, where one is open, or one of ours.

    Args:
        login: Where, and who.

    Raises:
        LoginError: The host is not the one that is known, or does not let us in without a question.
        ConnectionLostError: It cannot be reached, or not now.
    """

    encrypts_here = False

    def __init__(self, login: OpenSshLogin) -> None:
        super().__init__(login)
        self._master = users_master(login) or start_master(login)

    @property
    def is_alive(self) -> bool:
        """See `Connection.is_alive`."""
        return self._master.is_alive

    def sftp(self) -> Channel:
        """See `Connection.sftp`; a refusal is told when the server does not answer."""
        return self._channel("-s", "sftp")

    def run(self, command: str) -> Channel | None:
        """See `Connection.run`; a refusal is told when the program does not answer."""
        return self._channel("", command)

    def close(self) -> None:
        """See `Connection.close`; a master of the user's stays open."""
        self._master.end()

    def _channel(self, option: str, command: str) -> Channel:
        self.check()
        options = [option] if option else []
        return OpenSshChannel(
            [*self._master.client, *options, "--", self.login.name, command], self.login.name
        )
