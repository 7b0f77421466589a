"""Hosts for tests of the SSH adaptor: OpenSSH servers of this user's own. Clients find them by ``PILOT_SSH_CONFIG``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from own_sshd import OwnSshd, running
from pilot_data.locations import Location

NO_EXEC = ("ForceCommand internal-sftp",)
REKEY = ("RekeyLimit 1M",)


class SshHost(OwnSshd):
    """A server with files.

    Attributes:
        name: How clients call it.
        client: What carries the connections of a test.
    """

    name = "data-host"
    client = "builtin"

    def at(self, path: Path | str) -> Location:
        """Return a folder of this machine as it is reached through the server."""
        return Location("ssh", host=self.name, path=str(path))


def running_host(*settings: str) -> AbstractContextManager[SshHost]:
    """Run a server for the length of a block; skip the test where there is none."""
    return running(SshHost, *settings)
