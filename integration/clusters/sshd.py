"""A real SSH server for tests of places and queues: see `own_sshd`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from own_sshd import OwnSshd, new_key, running
from pilot.submission.ssh.target import SshOptions, SshTarget

HOST = "pilot-test"
"""The alias of the server in the clients' configuration."""

FORBID_FORWARDING = ("AllowStreamLocalForwarding no",)
REFUSE_EVERYONE = ("DenyUsers *",)


def login_shell(shell: str) -> tuple[str, ...]:
    """Return the settings that make a shell the one that every command line of a client goes through."""
    return (f'ForceCommand exec {shell} -c "$SSH_ORIGINAL_COMMAND"',)


class Sshd(OwnSshd):
    """A server, and the sockets of clients that share logins at it."""

    name = HOST

    def __init__(self, folder: Path, program: str) -> None:
        super().__init__(folder, program)
        self.sockets = folder / "sockets"
        self.sockets.mkdir(mode=0o700)

    @property
    def target(self) -> SshTarget:
        """The server, as a place is given it."""
        return SshTarget(HOST)

    @property
    def options(self) -> SshOptions:
        """How clients call ``ssh``."""
        return SshOptions(config_file=str(self.config_file), socket_folder=self.sockets)

    def target_as(self, account: str) -> SshTarget:
        """Return the server as another account reaches it."""
        return SshTarget(HOST, user=account)

    def change_host_key(self) -> None:
        """Give it another host key than clients know, from its next start on."""
        (self.folder / "host_key").unlink()
        new_key(self.folder / "host_key")


def running_sshd(*settings: str) -> AbstractContextManager[Sshd]:
    """Run a server for the length of a block; skip the test where there is none."""
    return running(Sshd, *settings)


def plain_account(name: str = "pilottest") -> str:
    """Return an account without packages of its own, for pilots under another user; make it if need be.

    It has a home, /bin/sh, and the system's Python; it stays on the machine. Skips the test where it cannot be made.
    """
    with suppress(KeyError):
        return pwd.getpwnam(name).pw_name
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip(f"no server: there is no account {name}, and only root can make it")
    # `*` is no password and, unlike the default, no lock: sshd lets keys in.
    subprocess.run(["useradd", "-m", "-s", "/bin/sh", "-p", "*", name], check=True)
    return name
