"""How a host is reached, as ``ssh -G`` says it: OpenSSH reads its configuration itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pilot_data.adaptors.ssh.connection import Connection, Login
from pilot_data.config import DataConfig
from pilot_data.errors import LoginError
from pilot_data.locations import Location

from .program import asked, find_program
from .refusals import quoted

_FAST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?")


@dataclass(frozen=True)
class OpenSshLogin(Login):
    """One host, who wants in, and what ``ssh`` is told.

    Attributes:
        program: Path of ``ssh``.
        config: Path of a file that is read instead of the user's configuration; empty for the user's.
        key: Path of a private key that is tried before those that are configured; empty for none.
        ciphers: In the order in which they are offered; empty for what the user has configured.
        users_socket: Path of a master connection that the user may have open (``ControlPath``); empty for none.
        socket_folder: Where a folder for the socket of a connection of ours is made.
    """

    program: str = ""
    config: str = ""
    key: str = ""
    ciphers: str = ""
    users_socket: str = ""
    socket_folder: str = ""

    def connected(self) -> Connection:
        """See `Login.connected`."""
        from .connection import OpenSshConnection

        return OpenSshConnection(self)

    @property
    def base(self) -> list[str]:
        """The program and its configuration."""
        return [self.program, *(("-F", self.config) if self.config else ())]

    @property
    def target(self) -> list[str]:
        """The host, as it stands at the end of a command."""
        return ["-l", self.user, "-p", str(self.port), "--", self.name]


def found_login(place: Location, key: str, config: DataConfig) -> OpenSshLogin:
    """Return how a place is reached.

    Args:
        place: Names the host; perhaps user and port, too.
        key: Path of a private key; empty for those that are configured.
        config: Names the configuration and the folder for sockets.

    Raises:
        LoginError: ``ssh`` is missing, does not understand its configuration, or the key is not there.
    """
    program, path = find_program(), os.path.expanduser(key)
    if not _HOST.fullmatch(place.host):
        raise LoginError(f"{place.host!r} is no name of a host that ssh could be given")
    if path and not os.path.exists(path):
        raise LoginError(f"the key {path} does not exist")
    base = [program, *(("-F", config.ssh_config) if config.ssh_config else ())]
    given = [*(("-l", place.user) if place.user else ()), *(("-p", str(place.port)) if place.port else ())]
    facts = _facts([*base, "-G", *given, "--", place.host])
    control = facts.get("controlpath", "none")
    return OpenSshLogin(
        name=place.host,
        host=facts["hostname"],
        port=int(facts["port"]),
        user=facts["user"],
        program=program,
        config=config.ssh_config,
        key=path,
        ciphers=_ciphers(facts["ciphers"], program),
        users_socket="" if control == "none" else control,
        socket_folder=config.runtime_folder,
    )


def _facts(command: list[str]) -> Mapping[str, str]:
    answer = asked(command)
    facts = dict(line.split(" ", 1) for line in answer.text.splitlines() if " " in line)
    if answer.code or not facts.keys() >= {"hostname", "port", "user", "ciphers"}:
        raise LoginError(
            f"ssh does not understand its configuration: {' '.join(command)}{quoted(answer.words)}"
        )
    return facts


def _ciphers(chosen: str, program: str) -> str:
    """Return OpenSSH's ciphers, the fastest first; empty when the user, or the system, has chosen others."""
    if chosen != _facts([program, "-F", "none", "-G", "--", "host"])["ciphers"]:
        return ""
    names = chosen.split(",")
    return ",".join(sorted(names, key=lambda name: _FAST.index(name) if name in _FAST else len(_FAST)))
