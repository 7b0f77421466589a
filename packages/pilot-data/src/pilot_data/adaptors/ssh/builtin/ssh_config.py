"""How a host is reached, as the user's OpenSSH configuration says it."""

from __future__ import annotations

import getpass
import glob
import os
import re
import shlex
from dataclasses import dataclass, replace

import paramiko

from pilot_data.adaptors.ssh.connection import Connection, Login
from pilot_data.config import DataConfig
from pilot_data.errors import LoginError

_PORT = 22
_CONNECT_S = 30.0
_JUMPS = 8
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_SYSTEM_CONFIG = "/etc/ssh/ssh_config"
_SYSTEM_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"
_INCLUDE = re.compile(r"^\s*include[\s=]+(.+)$", re.IGNORECASE)
_HOP = re.compile(r"(?:ssh://)?(?:(?P<user>.+)@)?(?P<host>\[[^]]+\]|[^:\[\]]+)(?::(?P<port>\d+))?/?")


@dataclass(frozen=True)
class BuiltinLogin(Login):
    """One host, who wants in, and all that paramiko must be told.

    Attributes:
        keys: Paths of private keys, in the order in which they are tried.
        certificates: Paths of certificates that belong to them.
        only_keys: Whether the agent may offer no other keys than those.
        asks_agent: Whether the agent is asked.
        known_hosts: Paths of files with the keys of hosts.
        known_as: What the host is called there; empty for its name and port.
        connect_s: Seconds to wait for a connection.
        jump: The host that leads there; None when it is reached directly.
        command: A command whose standard input and output lead there; empty for none.
    """

    keys: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    only_keys: bool = False
    asks_agent: bool = True
    known_hosts: tuple[str, ...] = ()
    known_as: str = ""
    connect_s: float = _CONNECT_S
    jump: BuiltinLogin | None = None
    command: str = ""

    def connected(self) -> Connection:
        """See `Login.connected`."""
        from .connection import BuiltinConnection

        return BuiltinConnection(self)

    @property
    def known_name(self) -> str:
        """What the host is called in files of known hosts."""
        if self.known_as:
            return self.known_as
        return self.host if self.port == _PORT else f"[{self.host}]:{self.port}"

    @property
    def by_hand(self) -> str:
        """What the user types to log in."""
        port = f" -p {self.port}" if self.port != _PORT else ""
        return f"ssh{port} {self.user}@{self.host}"


class SshSettings:
    """The user's configuration of OpenSSH.

    Args:
        config: Names the file, or the home that it lies in.

    Raises:
        LoginError: A file cannot be understood.
    """

    def __init__(self, config: DataConfig) -> None:
        self._folder = os.path.join(config.home, ".ssh")
        names = [config.ssh_config] if config.ssh_config else [f"{self._folder}/config", _SYSTEM_CONFIG]
        text = "\n".join(line for name in names for line in self._lines(name, 0))
        try:
            self._config = paramiko.SSHConfig.from_text(text)
        except paramiko.ConfigParseError as error:
            raise LoginError(f"{names[0]} cannot be understood: {error}") from None

    def login(self, name: str, user: str = "", port: int = 0, key: str = "") -> BuiltinLogin:
        """Return how a host is reached.

        Args:
            name: Of the host, as the user calls it.
            user: Login name; empty for the one that is configured.
            port: TCP port; 0 for the one that is configured.
            key: Path of a private key, which is the only one that is tried; empty for those that are configured.

        Raises:
            LoginError: The configuration names no host to jump over, or itself.
        """
        return self._login(name, user, port, key, 0)

    def _login(self, name: str, user: str, port: int, key: str, depth: int) -> BuiltinLogin:
        if depth > _JUMPS:
            raise LoginError(
                f"{name}: ProxyJump in ~/.ssh/config leads in a circle, or over more than {_JUMPS} hosts"
            )
        found = self._looked_up(name)
        login = BuiltinLogin(
            name=name,
            host=found.get("hostname", name),
            port=port or int(found.get("port", _PORT)),
            user=user or found.get("user") or getpass.getuser(),
            keys=(os.path.expanduser(key),) if key else self._keys(found),
            certificates=tuple(map(os.path.expanduser, found.get("certificatefile", ()))),
            only_keys=bool(key) or found.get("identitiesonly", "no") == "yes",
            asks_agent=found.get("identityagent", "") != "none",
            known_hosts=self._known_hosts(found),
            known_as=found.get("hostkeyalias", ""),
            connect_s=float(found.get("connecttimeout") or _CONNECT_S),
        )
        jumps = found.get("proxyjump", "none")
        if jumps != "none":
            return replace(login, jump=self._jump(jumps, name, depth))
        command = found.get("proxycommand", "none")
        return login if command == "none" else replace(login, command=command)

    def _looked_up(self, name: str) -> paramiko.SSHConfigDict:
        try:
            return self._config.lookup(name)
        except (paramiko.ConfigParseError, paramiko.CouldNotCanonicalize, ImportError) as error:
            raise LoginError(f"{name}: the settings of OpenSSH cannot be understood: {error}") from None

    def _jump(self, jumps: str, name: str, depth: int) -> BuiltinLogin:
        """Return the last host of a chain; only the first one is reached as its own settings say."""
        first, *others = (self._hop(text.strip(), name) for text in jumps.split(","))
        login = self._login(*first, "", depth + 1)
        for other in others:
            login = replace(self._login(*other, "", depth + 1), jump=login, command="")
        return login

    def _hop(self, text: str, name: str) -> tuple[str, str, int]:
        found = _HOP.fullmatch(text)
        if found is None:
            raise LoginError(f"{name}: ProxyJump {text!r} is no host; write user@host:port")
        return found["host"].strip("[]"), found["user"] or "", int(found["port"] or 0)

    def _keys(self, found: paramiko.SSHConfigDict) -> tuple[str, ...]:
        named = found.get("identityfile")
        if named:
            return tuple(map(os.path.expanduser, named))
        defaults = (f"{self._folder}/{name}" for name in _DEFAULT_KEYS)
        return tuple(path for path in defaults if os.path.exists(path))

    def _known_hosts(self, found: paramiko.SSHConfigDict) -> tuple[str, ...]:
        own = found.get("userknownhostsfile", f"{self._folder}/known_hosts {self._folder}/known_hosts2")
        system = found.get("globalknownhostsfile", _SYSTEM_KNOWN_HOSTS)
        return tuple(os.path.expanduser(path) for path in [*shlex.split(own), *shlex.split(system)])

    def _lines(self, path: str, depth: int) -> list[str]:
        """Return the lines of a file, with those of the files that it includes, which paramiko does not read."""
        if depth > _JUMPS:
            raise LoginError(f"{path}: Include leads in a circle")
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LoginError(f"{path} cannot be read: {error.strerror}") from None
        return [found for line in lines for found in self._expanded(line, depth)]

    def _expanded(self, line: str, depth: int) -> list[str]:
        included = _INCLUDE.match(line)
        if included is None:
            return [line]
        patterns = (os.path.expanduser(pattern) for pattern in shlex.split(included[1]))
        paths = (path for one in patterns for path in sorted(glob.glob(os.path.join(self._folder, one))))
        return [found for path in paths for found in self._lines(path, depth + 1)]
