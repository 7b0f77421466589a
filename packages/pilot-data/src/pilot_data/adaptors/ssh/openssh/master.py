"""The master connection: one login, over which all channels go (OpenSSH's ControlMaster).

One of ours is ``ssh -M -N`` below a small shell, its keeper, which ends it when this process is gone, whatever way it went,
and removes the folder of its socket. One that the user has opened is used, and left alone.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from typing import IO

from pilot_data.errors import LoginError
from pilot_session.ssh_keeper import start_keeper

from .login import OpenSshLogin
from .program import asked, unstartable
from .refusals import refusal

_START_S = 120.0
"""For a login: the network, the server, and a user who touches a key."""

_END_S = 2.0
"""For an end on request; what takes longer is killed."""

_CONNECT_S = 30
_LOG = 4096
_READY = b"pilot-ssh-ready"
_SETTINGS: dict[str, str | int] = {
    "BatchMode": "yes",
    "ConnectTimeout": _CONNECT_S,
    "ServerAliveInterval": 15,
    "ServerAliveCountMax": 3,
    "ClearAllForwardings": "yes",  # those that the user has for his own logins
    "LogLevel": "ERROR",  # no banner
    # The local command runs when the login is through and the socket is there: it is our sign.
    "PermitLocalCommand": "yes",
    "LocalCommand": f"echo {_READY.decode()}",
    "ControlPersist": "no",
    "RemoteCommand": "none",
}


class Master:
    """A master connection of the user's.

    Args:
        login: Where it leads.
        path: Of its socket.

    Raises:
        OSError: It has ended.
    """

    def __init__(self, login: OpenSshLogin, path: str) -> None:
        self._login = login
        self._path = path
        self._lookout = socket.socket(socket.AF_UNIX)  # ends when the master does
        try:
            self._lookout.connect(path)
        except OSError:
            self._lookout.close()
            raise

    @property
    def client(self) -> list[str]:
        """``ssh`` over this connection and none else, up to the host; the configuration has done its part."""
        options = ["-F", "none", "-S", self._path, "-o", "ProxyCommand=false", "-T", "-a", "-x"]
        return [self._login.program, *options]

    @property
    def is_alive(self) -> bool:
        """Whether channels can be opened."""
        return self._lookout.fileno() >= 0 and not self._ends(0)

    def end(self) -> None:
        """Use it no longer."""
        self._lookout.close()

    def _ends(self, wait_s: float) -> bool:
        """Return whether it ends before so many seconds are over; what it greets with is dropped."""
        deadline = time.monotonic() + wait_s
        while select.select([self._lookout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                if not self._lookout.recv(_LOG):
                    return True
            except ConnectionError:
                return True
        return False


class OwnMaster(Master):
    """A master connection of ours.

    Args:
        login: Where it leads.
        path: Of its socket.
        keeper: The process that keeps it, the first one of a group of its own.

    Raises:
        OSError: It has ended.
    """

    def __init__(self, login: OpenSshLogin, path: str, keeper: subprocess.Popen[bytes]) -> None:
        super().__init__(login, path)
        self._keeper = keeper

    def end(self) -> None:
        """End it, and wait until its process, its socket and their folder are gone."""
        if self._lookout.fileno() >= 0:
            _signal(self._keeper, signal.SIGTERM)
            self._ends(_END_S)
            _clear(self._keeper, self._path)
        super().end()


def users_master(login: OpenSshLogin) -> Master | None:
    """Return the master connection that the user has open to a host; None when there is none."""
    path = login.users_socket
    if not path or not os.path.exists(path):
        return None
    if asked([login.program, "-F", "none", "-S", path, "-O", "check", "--", login.name]).code:
        return None
    try:
        return Master(login, path)
    except OSError:  # it has just ended
        return None


def start_master(login: OpenSshLogin) -> OwnMaster:
    """Log in.

    Raises:
        TransferError: The host is not reached, or does not let us in; see `refusals.refusal`.
    """
    folder = _folder(login)
    path = os.path.join(folder, "s")
    with tempfile.TemporaryFile() as log:
        try:
            keeper = _started(_command(login, path), folder, log)
        except BaseException:
            os.rmdir(folder)
            raise
        try:
            _await_login(keeper, log, login)
            return OwnMaster(login, path, keeper)
        except BaseException as error:
            _clear(keeper, path)
            if isinstance(error, OSError):
                raise refusal(login.name, _end_of(log)) from None
            raise


def _folder(login: OpenSshLogin) -> str:
    try:
        return tempfile.mkdtemp(prefix="pilot-data-ssh-", dir=login.socket_folder)
    except OSError as error:
        raise LoginError(
            f"no folder for the socket of an SSH connection can be made in {login.socket_folder}: {error.strerror}"
        ) from None


def _command(login: OpenSshLogin, path: str) -> list[str]:
    settings: dict[str, str | int] = dict(_SETTINGS)
    if login.ciphers:
        settings["Ciphers"] = login.ciphers
    if login.key:
        settings["IdentitiesOnly"] = "yes"
    words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    key = ["-i", login.key] if login.key else []
    return [*login.base, "-M", "-N", "-T", "-a", "-x", "-S", path, *key, *words, *login.target]


def _started(command: list[str], folder: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return start_keeper(command, folder, log)
    except OSError as error:
        raise unstartable(command[0], error) from None


def _await_login(keeper: subprocess.Popen[bytes], log: IO[bytes], login: OpenSshLogin) -> None:
    assert keeper.stdout is not None  # noqa: S101 - it is a pipe
    deadline = time.monotonic() + _START_S
    said = b""
    while _READY not in said:
        if not select.select([keeper.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise refusal(login.name, f"the login timed out after {_START_S:g} s")
        data = os.read(keeper.stdout.fileno(), _LOG)
        if not data:
            raise refusal(login.name, _end_of(log))
        said += data


def _clear(keeper: subprocess.Popen[bytes], path: str) -> None:
    """Kill what is left of a keeper and what it has started, and remove the folder of the socket."""
    with keeper:
        _signal(keeper, signal.SIGKILL)
    shutil.rmtree(os.path.dirname(path), ignore_errors=True)  # which the keeper may have removed


def _signal(keeper: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(keeper.pid, number)


def _end_of(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG))
    return log.read().decode("utf-8", "replace")
