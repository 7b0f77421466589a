"""Real OpenSSH servers for tests of the SSH adaptor: of this user's own, on free ports, with keys of their own.

Everything lies in a folder of its own; ``~/.ssh`` is neither read nor written. Clients find all servers by
``PILOT_SSH_CONFIG``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pilot_data.locations import Location

LIMIT_S = 20.0

NO_EXEC = ("ForceCommand internal-sftp",)
REKEY = ("RekeyLimit 1M",)


class SshHost:
    """A server.

    Args:
        folder: Its own.
        program: sshd.
    """

    name = "data-host"

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        new_key(folder / "host_key")
        new_key(folder / "user_key")
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        self.be_known()
        self.config = folder / "client_config"
        self.configure()

    def at(self, path: Path | str) -> Location:
        """Return a folder of this machine as it is reached through the server."""
        return Location("ssh", host=self.name, path=str(path))

    def configure(self, *settings: str, name: str | None = None) -> None:
        """Write the clients' configuration, with settings that come before the others."""
        lines = [
            f"Host {name or self.name}",
            *settings,
            "HostName 127.0.0.1",
            f"Port {self.port}",
            f"IdentityFile {self.folder}/user_key",
            "IdentitiesOnly yes",
            "IdentityAgent none",
            f"UserKnownHostsFile {self.folder}/known_hosts",
            "GlobalKnownHostsFile /dev/null",
        ]
        self.config.write_text("\n".join(lines) + "\n")

    def be_known(self) -> None:
        """Let clients know the server's key."""
        key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")

    def start(self, *settings: str) -> None:
        """Start it, with settings that come before the others; returns when it serves."""
        (self.folder / "sshd_config").write_text("\n".join([*settings, *self._settings()]) + "\n")
        with open(self.folder / "sshd.log", "ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-D", "-e", "-f", self.folder / "sshd_config"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + LIMIT_S
        while not _serves(self.port):
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, f"sshd does not serve: {self.log()}"
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill it, and its sessions."""
        process, self._process = self._process, None
        if process is not None:
            _kill([*_descendants(process.pid), process.pid])
            process.wait(LIMIT_S)

    def cut_sessions(self) -> None:
        """Kill the processes that serve logins; the server goes on."""
        assert self._process is not None
        _kill(_descendants(self._process.pid))

    def log(self) -> str:
        """Return what the server has said."""
        return (self.folder / "sshd.log").read_text()

    def _settings(self) -> list[str]:
        return [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host_key",
            "PidFile none",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "UseDNS no",
            "PrintMotd no",
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
            "SetEnv SHLVL=1",  # so that start-up files of this machine's user are not read
        ]


@contextmanager
def running_host(*settings: str) -> Iterator[SshHost]:
    """Run a server for the length of a block; skip the test where there is none."""
    program = _program()
    folder = Path(tempfile.mkdtemp(prefix="pilot-data-sshd-"))
    server = SshHost(folder, program)
    try:
        server.start(*settings)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def new_key(path: Path, passphrase: str = "") -> None:
    """Make a key pair."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "pilot", "-f", path], check=True
    )


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _program() -> str:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    program = shutil.which("sshd", path=path)
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no server: sshd and ssh-keygen are not on this machine (openssh-server, openssh-client)")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd does not start without it
    return program


def _serves(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        return client.getsockname() != client.getpeername() and client.recv(4) == b"SSH-"
    return False


def _descendants(pid: int) -> list[int]:
    """Return the processes below one, the last ones first."""
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [each for child in children for each in (*_descendants(int(child)), int(child))]
    return []


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
