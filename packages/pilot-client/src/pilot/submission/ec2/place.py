"""An instance as a place: a machine that nobody has met before, reached with a key file.

Its host key is learnt at the first login and insisted on afterwards, in a file of its own: addresses are used again by others.
What is opened by way of it, like a tunnel, ends with it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace

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
        self._folder = tempfile.mkdtemp(prefix="pilot-ec2-")
        settings = (
            *options.settings,
            f"IdentityFile={_path(key_file)}",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={_path(self._folder + '/known_hosts')}",
        )
        super().__init__(target, replace(options, settings=settings))
        self._close_first: list[Callable[[], None]] = []

    def url_of(self, _path: str) -> str:
        """Return nothing: pilot-data knows neither the key nor the host key, see `Place.url_of`."""
        return ""

    def close_first(self, close: Callable[[], None]) -> None:
        """Have something closed before this place is."""
        self._close_first.append(close)

    def close(self) -> None:
        """Close what was opened by way of it, log out, and forget the host key."""
        before, self._close_first = self._close_first, []
        for close in before:
            close()
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)  # with what ssh keeps beside it, like known_hosts.old


def _path(path: str) -> str:
    """Return a path as a value of ssh_config(5), where blanks separate and percent signs mean something."""
    escaped = path.replace("%", "%%")
    return f'"{escaped}"'
