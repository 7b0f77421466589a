"""An instance as a place: a machine that nobody has met before, reached with a key file.

Its host key is learnt at the first login and insisted on afterwards, in a file of its own: addresses are used again by others.
What is opened by way of it, like a tunnel, ends with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pilot.submission.ssh.place import SshPlace
from pilot.submission.ssh.target import SshOptions, SshTarget


class InstancePlace(SshPlace):
    """A machine at an address that was not known before.

    Args:
        target: The machine.
        options: How ``ssh`` is called elsewhere.
        key_file: Path of the private key.
    """

    def __init__(self, target: SshTarget, options: SshOptions, key_file: str) -> None:
        self._known_hosts = Path(tempfile.mkdtemp(prefix="pilot-ec2-"), "known_hosts")
        settings = (
            *options.settings,
            f'IdentityFile="{key_file}"',
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=accept-new",
            f'UserKnownHostsFile="{self._known_hosts}"',
        )
        super().__init__(target, replace(options, settings=settings))
        self._close_first: list[Callable[[], None]] = []

    def close_first(self, close: Callable[[], None]) -> None:
        """Have something closed before this place is."""
        self._close_first.append(close)

    def close(self) -> None:
        """Close what was opened by way of it, log out, and forget the host key."""
        before, self._close_first = self._close_first, []
        for close in before:
            close()
        super().close()
        with suppress(FileNotFoundError):  # closed before, or never logged in
            self._known_hosts.unlink(missing_ok=True)
            self._known_hosts.parent.rmdir()
