"""A machine that SSH reaches as a place."""

from __future__ import annotations

from urllib.parse import quote

from pilot.submission.place import COMMAND_LIMIT_S, Output

from .connection import SshConnection
from .target import SshOptions, SshTarget


class SshPlace:
    """A machine that SSH reaches.

    Nothing is connected before the first command. What a command leaves in the background must have other standard streams
    than the command, whose end is the end of those.

    Args:
        target: The machine.
        options: How ``ssh`` is called; by default the one on ``PATH`` with the user's configuration.
    """

    def __init__(self, target: SshTarget, options: SshOptions | None = None) -> None:
        self.connection = SshConnection(target, options or SshOptions())
        self._target = target

    @property
    def name(self) -> str:
        """What messages call it: ``user@host``."""
        return self.connection.name

    def url_of(self, path: str) -> str:
        """Return an ``ssh://`` URL, see `Place.url_of`."""
        target = self._target
        account = f"{quote(target.user)}@" if target.user else ""
        port = f":{target.port}" if target.port else ""
        return f"ssh://{account}{target.host}{port}{quote(path)}"

    def run(self, command: str, *, given: bytes = b"", limit_s: float = COMMAND_LIMIT_S) -> Output:
        """Run a command line with ``/bin/sh`` there, see `SshConnection.run`."""
        return self.connection.run(command, given=given, limit_s=limit_s)

    def close(self) -> None:
        """Log out, leaving no process, no socket and no folder."""
        self.connection.close()
