"""The master connection: one login, over which commands and forwardings go as channels (OpenSSH's ControlMaster).

A master of ours is ``ssh -M -N`` below a small shell, its keeper, which ends it when this process is gone, whatever way it
went, and removes the folder of its socket. A master that the user has opened is used, and left alone.

The invariant: ``ssh`` never asks a question (no terminal, no standard input, no ``SSH_ASKPASS``).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from typing import IO

from pilot.submission.pipe_reading import PipeEndedError, read_past
from pilot.submission.place import Output
from pilot_protocol.errors import SubmissionError
from pilot_session.ssh_keeper import ssh_environment, start_keeper

from .refusals import refusal
from .target import SshOptions, SshTarget

START_LIMIT_S = 120.0
"""For a login: the network, the server, and a user who touches a key."""

END_LIMIT_S = 5.0
CONTROL_LIMIT_S = 30.0
LOG_BYTES = 4096

_READY = "pilot-ssh-ready"


class Master:
    """A live master connection.

    Args:
        options: How ``ssh`` is called.
        target: Where it leads.
        path: Of its socket.
        keeper: The process that keeps it; None for a master of the user.
    """

    def __init__(
        self, options: SshOptions, target: SshTarget, path: str, keeper: subprocess.Popen[bytes] | None = None
    ) -> None:
        self.path = path
        self._options = options
        self._target = target
        self._keeper = keeper

    @property
    def client(self) -> list[str]:
        """``ssh`` over this connection and none else, up to the command; the configuration has done its part."""
        return [*self._base, "-o", "ProxyCommand=false", "-T", "-a", "-x", "--", self._target.host]

    @property
    def seems_alive(self) -> bool:
        """Whether nothing tells that it has ended, at the cost of a system call."""
        return (self._keeper is None or self._keeper.poll() is None) and os.path.exists(self.path)

    def answers(self) -> bool:
        """Ask it whether it lives."""
        return self.control("check").code == 0

    def control(self, request: str, *arguments: str, limit_s: float = CONTROL_LIMIT_S) -> Output:
        """Tell the master something: ``check``, ``forward``, ``cancel``, ``exit`` (``ssh -O``)."""
        return _asked([*self._base, "-O", request, *arguments, "--", self._target.host], limit_s)

    def lookout(self) -> socket.socket:
        """Return a connection to the master that ends when it does.

        Raises:
            OSError: It has ended.
        """
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(self.path)
        except OSError:
            connected.close()
            raise
        return connected

    def end(self) -> None:
        """End it, and wait until its process, its socket and their folder are gone; the user's own stays."""
        if self._keeper is None:
            return
        with self._keeper as keeper:
            asked = os.path.exists(self.path) and self.control("exit", limit_s=END_LIMIT_S).code == 0
            if not asked and keeper.stdin is not None:
                keeper.stdin.close()
            try:
                keeper.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):  # it has just ended
                    os.killpg(keeper.pid, signal.SIGKILL)
        shutil.rmtree(os.path.dirname(self.path), ignore_errors=True)  # of a keeper that was killed

    @property
    def _base(self) -> list[str]:
        return [self._options.program, "-F", "none", "-S", self.path]


def users_master(options: SshOptions, target: SshTarget) -> Master | None:
    """Return the master connection that the user has open to a target; None when there is none."""
    facts = _asked([*options.base, "-G", *target.arguments])
    path = _control_path(facts.text)
    if path is None or not os.path.exists(path):
        return None
    master = Master(options, target, path)
    return master if master.answers() else None


def start_master(options: SshOptions, target: SshTarget) -> Master:
    """Log in.

    Raises:
        SubmissionError: The target is not reached, or does not let us in.
    """
    folder = _socket_folder(options)
    path = os.path.join(folder, "s")
    with tempfile.TemporaryFile() as log:
        try:
            keeper = _start(
                [*options.base, *_master_arguments(options, path), *target.arguments], folder, log
            )
        except BaseException:
            os.rmdir(folder)
            raise
        master = Master(options, target, path, keeper)
        try:
            _await_login(keeper, log, target)
        except BaseException:
            master.end()
            raise
    return master


def _socket_folder(options: SshOptions) -> str:
    try:
        return tempfile.mkdtemp(prefix="pilot-ssh-", dir=options.socket_folder)
    except OSError as error:
        raise SubmissionError(
            f"no folder for the socket of an SSH connection can be made in {options.socket_folder}: {error.strerror}"
        ) from error


def direct_client(options: SshOptions, target: SshTarget) -> list[str]:
    """Return ``ssh`` over a connection of its own, up to the command."""
    settings = [
        *_settings(options),
        "-o",
        "ControlPath=none",
        "-o",
        "PermitLocalCommand=no",
        "-o",
        "RemoteCommand=none",
    ]
    return [*options.base, *settings, "-T", "-a", "-x", *target.arguments]


def _master_arguments(options: SshOptions, path: str) -> list[str]:
    # The local command runs when the login is through and the socket is there: it is our sign.
    sign = ["-o", "PermitLocalCommand=yes", "-o", f"LocalCommand=echo {_READY}"]
    alone = ["-o", "ControlPersist=no", "-o", "RemoteCommand=none"]
    return ["-M", "-N", "-T", "-a", "-x", "-S", path, *_settings(options), *sign, *alone]


def _settings(options: SshOptions) -> list[str]:
    settings = {
        "BatchMode": "yes",
        "ConnectTimeout": options.connect_limit_s,
        "ServerAliveInterval": options.alive_interval_s,
        "ServerAliveCountMax": 3,
        "ClearAllForwardings": "yes",  # those that the user has for his own logins
        "LogLevel": "ERROR",  # no banner
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _start(command: list[str], folder: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    if shutil.which(command[0]) is None:
        raise _missing(command[0])
    try:
        return start_keeper(command, folder, log)
    except OSError as error:
        raise unstartable(command[0], error) from error


def _await_login(keeper: subprocess.Popen[bytes], log: IO[bytes], target: SshTarget) -> None:
    assert keeper.stdout is not None  # noqa: S101 - it is a pipe
    try:
        read_past(keeper.stdout, _READY.encode(), START_LIMIT_S)
    except TimeoutError as error:
        raise refusal(target.name, f"the login timed out after {START_LIMIT_S:g} s") from error
    except PipeEndedError as error:
        raise refusal(target.name, _end_of(log)) from error


def _end_of(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_BYTES))
    return log.read().decode("utf-8", "replace")


def _asked(command: list[str], limit_s: float = CONTROL_LIMIT_S) -> Output:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            start_new_session=True,
            env=ssh_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Output(-signal.SIGKILL, b"", f"no answer within {limit_s:g} s")
    except OSError as error:
        raise unstartable(command[0], error) from error
    return Output(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def _control_path(facts: str) -> str | None:
    paths = [line.partition(" ")[2] for line in facts.splitlines() if line.startswith("controlpath ")]
    return next((path for path in paths if path != "none"), None)


def unstartable(program: str, error: OSError) -> SubmissionError:
    """Return the error for a client that is not there, or for which there is no process or descriptor left."""
    if isinstance(error, FileNotFoundError):
        return _missing(program)
    return SubmissionError(f"{program} cannot be started here: {error.strerror}", transient=True)


def _missing(program: str) -> SubmissionError:
    return SubmissionError(
        f"OpenSSH's client {program} is not on this machine; install it (Debian: openssh-client)"
    )
