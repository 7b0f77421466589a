"""An OpenSSH server of this user's own, on a free port, and an `ssh` that knows the way to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from redis_process import unused_port

_SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""
_CLIENT = """\
Host login*
    HostName 127.0.0.1
    Port {port}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile /dev/null
    HostKeyAlias login
    StrictHostKeyChecking yes
"""


class SshServer:
    """The server, and what leads to it.

    Args:
        folder: An empty folder, which only this user can use.
        program: The server's, as an absolute path.
    """

    def __init__(self, folder: Path, program: str) -> None:
        self.folder, self.port = folder, unused_port()
        self.bin = folder / "bin"
        for name in ("host_key", "user_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=30
            )
        self.admit()
        self.be_known()
        (folder / "sshd_config").write_text(_SERVER.format(port=self.port, folder=folder))
        (folder / "ssh_config").write_text(_CLIENT.format(port=self.port, folder=folder))
        self._write_ssh()
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def _write_ssh(self) -> None:
        """OpenSSH looks for its settings in the home that the system knows, whatever HOME says."""
        self.bin.mkdir()
        real = shutil.which("ssh")
        ssh = self.bin / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {real} -F {self.folder}/ssh_config "$@"\n')
        ssh.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What an agent finds that reaches this server at the host ``login``."""
        return {"PATH": f"{self.bin}:{os.environ['PATH']}"}

    def admit(self) -> None:
        """Let this user in."""
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")

    def turn_away(self) -> None:
        """Let nobody in."""
        (self.folder / "authorized_keys").write_text("")

    def be_known(self) -> None:
        """Let clients know the server's key."""
        key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"login {key}")

    def be_a_stranger(self) -> None:
        """Let clients know no key."""
        (self.folder / "known_hosts").write_text("")

    def start(self) -> None:
        """Start it; returns when it listens."""
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-D", "-e", "-f", self.folder / "sshd_config"], stderr=log
            )
        self._wait_until_it_listens(self._process)

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
            except ConnectionRefusedError:
                assert process.poll() is None, (self.folder / "sshd.log").read_text()
            else:
                return

    def stop(self) -> None:
        """End it; connections stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_sshd(folder: Path) -> Iterator[SshServer]:
    """Run a server; skips the test without one."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("no server: sshd")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder.mkdir(mode=0o700)
    server = SshServer(folder, program)
    server.start()
    try:
        yield server
    finally:
        server.stop()
