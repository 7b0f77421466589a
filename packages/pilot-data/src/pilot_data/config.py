"""The settings that pilot-data takes from its environment; the only module of it that reads environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

_SOCKET_FOLDER_BYTES = 48
"""The longest folder for sockets: ours lie two levels below, and OpenSSH binds them under a longer name first."""


@dataclass(frozen=True)
class DataConfig:
    """What the environment says.

    Attributes:
        home: The user's home directory.
        ssh_config: ``PILOT_SSH_CONFIG``, a configuration file of OpenSSH to be read instead of the user's and the
            system's; empty when unset.
        runtime_folder: ``XDG_RUNTIME_DIR``, for sockets; ``/tmp`` when it is unset, no folder, or too long for their names.
        search_path: ``PATH``, where programs are looked for.
    """

    home: str
    ssh_config: str = ""
    runtime_folder: str = "/tmp"  # noqa: S108 - what is made there is made in a folder of its own, 0700
    search_path: str = os.defpath

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> DataConfig:
        """Read the settings. A variable that is empty counts as unset.

        Args:
            variables: The environment; by default that of this process.
        """
        given = os.environ if variables is None else variables
        runtime = given.get("XDG_RUNTIME_DIR", "")
        fits = len(runtime) <= _SOCKET_FOLDER_BYTES and os.path.isdir(runtime)
        return cls(
            home=given.get("HOME") or os.path.expanduser("~"),
            ssh_config=given.get("PILOT_SSH_CONFIG", ""),
            runtime_folder=runtime if fits else cls.runtime_folder,
            search_path=given.get("PATH") or os.defpath,
        )
