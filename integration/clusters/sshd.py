"""A real SSH server for tests: run by the current user on a port of the loopback interface, with keys of its own.

Everything lies in a folder of its own, below /tmp so that other accounts can be let in; ``~/.ssh`` is neither read nor
written, by the server or by clients that use `Sshd.options`.
"""

from __future__ import annotations

import os
import pwd
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

from pilot.submission.ssh.target import SshOptions, SshTarget
from process_tree import children, descendants
from real_redis import free_port

HOST = "pilot-test"
"""The alias of the server in the clients' configuration."""

LIMIT_S = 20.0

FORBID_FORWARDING = ("AllowStreamLocalForwarding no",)
REFUSE_EVERYONE = ("DenyUsers *",)


def login_shell(shell: str) -> tuple[str, ...]:
    """Return the settings that make a shell the one that every command line of a client goes through."""
    return (f'ForceCommand exec {shell} -c "$SSH_ORIGINAL_COMMAND"',)


class Sshd:
    """A server.

    Args:
        folder: Its own; entered by other accounts, too.
        program: The server.
    """

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        new_key(folder / "host_key")
        new_key(folder / "user_key")
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        host_key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        self.sockets = folder / "sockets"
        self.sockets.mkdir(mode=0o700)
        self.config_file = folder / "client_config"
        self.configure_client()

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

    def configure_client(self, *settings: str) -> None:
        """Write the configuration of clients, with settings that come before the others."""
        lines = [
            f"Host {HOST}",
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
            if Path(f"/proc/{pid}/comm").read_text().strip().startswith("sshd"):
                kill(pid)

    def change_host_key(self) -> None:
        """Give it another host key than clients know, from its next start on."""
        (self.folder / "host_key").unlink()
        new_key(self.folder / "host_key")

    def forget_host(self) -> None:
        """Let clients know no host key."""
        (self.folder / "known_hosts").write_text("")

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
            # The start-up files of this machine's root are none of the tests' business: a bash that is not the outermost
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
        raise AssertionError(f"sshd does not serve: {(self.folder / 'sshd.log').read_text()}")


@contextmanager
def running_sshd(*settings: str) -> Iterator[Sshd]:
    """Run a server for the length of a block; skip the test where there is none."""
    program = sshd_program()
    folder = Path(tempfile.mkdtemp(prefix="pilot-sshd-", dir="/tmp"))
    folder.chmod(0o755)
    server = Sshd(folder, program)
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
