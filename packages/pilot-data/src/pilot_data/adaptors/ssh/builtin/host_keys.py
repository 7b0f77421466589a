"""The keys of hosts that the user knows; no other host is talked to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import paramiko
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from pilot_data.errors import LoginError

from .ssh_config import BuiltinLogin

_REVOKED = "@revoked"


class KnownHosts:
    """What files of known hosts say of one host.

    Args:
        login: Names the files and the host.

    Raises:
        LoginError: A file cannot be read.
    """

    def __init__(self, login: BuiltinLogin) -> None:
        self._login = login
        self._keys: list[Any] = []
        self._revoked: list[Any] = []
        for path in login.known_hosts:
            self._read(path)

    def preferred(self, offered: tuple[str, ...]) -> tuple[str, ...]:
        """Return algorithms for host keys in the order to ask for them: first those of which a key is known."""
        known = {key.get_name() for key in self._keys}
        if "ssh-rsa" in known:
            known |= {"rsa-sha2-512", "rsa-sha2-256"}
        return tuple(sorted(offered, key=lambda name: name not in known))

    def check(self, key: Any) -> None:
        """Go on if the host has shown a key that is known.

        Raises:
            LoginError: It has not.
        """
        login = self._login
        shown = f"{key.get_name()} {key.fingerprint}"
        if key in self._revoked:
            raise LoginError(f"{login.name}: its host key {shown} is marked as revoked in known_hosts")
        if key in self._keys:
            return
        if not self._keys:
            raise LoginError(
                f"{login.name}: its host key {shown} is not known yet; log in once by hand and compare the key: "
                f"{login.by_hand}"
            )
        raise LoginError(
            f"{login.name}: its host key {shown} is not the one that known_hosts has. Ask its administrators whether "
            f"it was changed; if so, type: ssh-keygen -R '{login.known_name}', then log in once by hand: {login.by_hand}"
        )

    def _read(self, path: str) -> None:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = [line.strip() for line in file]
        except FileNotFoundError:
            return
        except OSError as error:
            raise LoginError(f"{path} cannot be read: {error.strerror}") from None
        for line in lines:
            self._note(line)

    def _note(self, line: str) -> None:
        if not line or line.startswith("#"):
            return
        marker, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
        if marker not in {"", _REVOKED}:
            return  # a certificate authority's key, which proves nothing to paramiko
        try:
            entry = HostKeyEntry.from_line(rest)
        except (InvalidHostKey, ValueError, paramiko.SSHException):
            return  # as OpenSSH does: a broken line lets nobody in
        if entry is not None and _names(self._login.known_name, entry.hostnames):
            (self._revoked if marker else self._keys).append(entry.key)


def _names(host: str, patterns: Sequence[str]) -> bool:
    """Return whether the first field of a line means a host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    if any(pattern.startswith("!") and _matches(host, pattern[1:]) for pattern in patterns):
        return False
    return any(_matches(host, pattern) for pattern in patterns)


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("|1|"):
        return bool(paramiko.HostKeys.hash_host(host, pattern) == pattern)
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, host, re.IGNORECASE) is not None
