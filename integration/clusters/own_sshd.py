"""A real SSH server for tests: run by the current user on a port of the loopback interface, with keys of its own.

Everything lies in a folder of its own; ``~/.ssh`` is neither read nor written, by the server or by clients that use
`OwnSshd.config_file`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from ports import free_port
from process_tree import children, descendants

LIMIT_S = 20.0


class OwnSshd:
    """A server.

    Args:
        folder: Its own.
        program: The server.

    Attributes:
        name: The alias of the server in the clients' configuration.
        config_file: That configuration.
    """

    name = "own-sshd"

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        new_key(folder / "host_key")
        new_key(folder / "user_key")
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        self.be_known()
        self.config_file = folder / "client_config"
        self.configure_client()

    def configure_client(self, *settings: str, name: str = "") -> None:
        """Write the configuration of clients, with settings that come before the others.

        Args:
            settings: Lines.
            name: Pattern of host names, instead of the alias.
        """
        lines = [
            f"Host {name or self.name}",
            *settings,
            "HostName 127.0.0.1",
            f"Port {self.port}",
            f"IdentityFile {self.folder}/user_key",
            "IdentitiesOnly yes",
            "IdentityAgent none",
            "StrictHostKeyChecking ask",
            f"UserKnownHostsFile {self.folder}/known_hosts",
            "GlobalKnownHostsFile /dev/null",
        ]
        self.config_file.write_text("\n".join(lines) + "\n")

    def be_known(self) -> None:
        """Let clients know the server's key."""
        key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")

    def be_a_stranger(self) -> None:
        """Let clients know no key."""
        (self.folder / "known_hosts").write_text("")

    def start(self, *settings: str) -> None:
        """Start the server, with settings that come before the others, and wait until it serves."""
        config = self.folder / "sshd_config"
        config.write_text("\n".join([*settings, *self._settings()]) + "\n")
        with open(self.folder / "sshd.log", "ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-D", "-e", "-f", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._await_service()

    def stop(self) -> None:
        """Kill the server, its sessions, and all that runs in them."""
        process, self._process = self._process, None
        if process is None:
            return
        for pid in [process.pid, *descendants(process.pid)]:
            kill(pid)
        process.wait(LIMIT_S)

    def restart(self, *settings: str) -> None:
        """Stop it and start it again on the same port."""
        self.stop()
        self.start(*settings)

    def restart_listener(self, *settings: str) -> None:
        """Start it again with other settings; logins that are open stay open."""
        assert self._process is not None
        kill(self._process.pid)
        self._process.wait(LIMIT_S)
        self.start(*settings)

    def cut_sessions(self) -> None:
        """Kill the processes that serve logins, as a network does that is gone; what they started goes on."""
        assert self._process is not None
        for pid in [each for child in children(self._process.pid) for each in (*children(child), child)]:
            with suppress(FileNotFoundError):  # it has ended
                if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                    kill(pid)

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
            # The start-up files of this machine's user are none of the tests' business: a bash that is not the outermost
            # one does not read them.
            "SetEnv SHLVL=1",
        ]

    def _await_service(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if serves_ssh(self.port):
                return
            time.sleep(0.02)
        raise AssertionError(f"sshd does not serve: {self.log()}")


Server = TypeVar("Server", bound=OwnSshd)


@contextmanager
def running(kind: Callable[[Path, str], Server], *settings: str) -> Iterator[Server]:
    """Run a server for the length of a block; skip the test where there is none.

    Args:
        kind: Its class.
        settings: Come before its others.
    """
    program = sshd_program()
    # Below /tmp, and open to all, so that other accounts can be let in.
    folder = Path(tempfile.mkdtemp(prefix="pilot-sshd-", dir="/tmp"))
    folder.chmod(0o755)
    server = kind(folder, program)
    try:
        server.start(*settings)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def sshd_program() -> str:
    """Return the path of sshd; skip the test where OpenSSH is not whole."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    program = shutil.which("sshd", path=path)
    if program is None or shutil.which("ssh") is None:
        pytest.skip("no server: sshd and ssh are not on this machine (openssh-server, openssh-client)")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd does not start without it
    return program


def serves_ssh(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether an SSH server greets; being connected is not enough, since a port may be connected to itself."""
    with suppress(OSError), socket.create_connection((host, port), timeout=LIMIT_S) as client:
        return client.getsockname() != client.getpeername() and client.recv(4) == b"SSH-"
    return False


def new_key(path: Path) -> None:
    """Make a key pair."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pilot", "-f", path], check=True)


def kill(pid: int) -> None:
    """Kill a process, unless it has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
